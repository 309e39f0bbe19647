// The rules that drop a document: one table of names, conditions and where the limits are from.
#pragma once

#include <span>

#include "data_pipeline/clean/measures.h"

namespace katman {

struct Rule {
  const char* name;
  bool by_default;  // off: right for English, or for a narrower kind of corpus
  bool (*drops)(const Measures&);
  const char* says;  // the condition in words, with its source
};

// In the order in which they are asked; the first that drops gives the reason.
std::span<const Rule> rules();

}  // namespace katman
