// A page in, readable text out, or the name of the rule that dropped it.
#pragma once

#include <string>
#include <vector>

#include "data_pipeline/read/pages.h"

namespace katman {

struct Cleaned {
  std::string text;               // valid UTF-8, no control characters but \n and \t
  const char* dropped = nullptr;  // nullptr: kept; else one of rule_names()
};

struct CleanOptions {
  std::vector<std::string> enable;   // rules that are off by default
  std::vector<std::string> disable;  // rules that are on by default
};

// Turns pages into text: character set, main content of HTML, white space, then the rules in order.
//
// A pure function of the page and the options: no clock, no memory of earlier pages. Any number of
// threads may call one Cleaner. Throws UsageError at construction for an unknown rule name.
class Cleaner {
 public:
  explicit Cleaner(const CleanOptions& options = {});
  Cleaned operator()(const Page& page) const;

 private:
  std::vector<bool> on_;  // [rule]
};

// Every value that Cleaned::dropped can take, in the order in which the rules are asked.
std::vector<const char*> rule_names();

}  // namespace katman
