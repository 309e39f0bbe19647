// Builds the main text from a stream of start tags, end tags and characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/clean/boilerplate.h"
#include "data_pipeline/clean/html_tags.h"

namespace katman {

// Fed in document order; every start has its end. `by_name` off: class and id count for nothing.
class MainText {
 public:
  explicit MainText(bool by_name) : by_name_(by_name) {}

  void start(std::string_view tag, Role role, bool has_href);
  void end();
  void characters(std::string_view text);

  int depth() const { return static_cast<int>(open_.size()) + unread_; }
  std::string finish();

  // More was cut off for its names than was kept: they were misleading.
  bool misled() const { return cut_by_name_ > text_; }

 private:
  // An element that is open, and what the counters were when it began.
  struct Open {
    Tag tag;
    Role role;
    bool link;
    uint32_t items;  // of a list
    uint8_t gap;     // gap_ before it
    size_t out;      // out_.size() before it
    uint64_t text, link_text, links;
  };

  void open_tag(Tag tag);
  void open_cell();
  void gap(uint8_t lines) { gap_ = std::max(gap_, lines); }
  void write_gap();
  bool is_content(const Open& element);
  void remember_main(const Open& element);

  bool by_name_;
  std::vector<Open> open_;
  int unread_ = 0;  // open elements from the one that is not read on
  int in_pre_ = 0, in_link_ = 0, in_main_ = 0;
  std::string out_;
  uint8_t gap_ = 0;     // line ends owed before the next character
  bool space_ = false;  // a blank owed
  bool tab_ = false;    // a cell separator owed
  bool fresh_ = false;  // an item or cell was just opened: blocks in it begin on its line
  std::string bullet_;  // owed
  uint64_t text_ = 0, link_text_ = 0,
           links_ = 0;  // bytes but blanks, those of them in links; links
  uint64_t cut_by_name_ = 0;
  int mains_ = 0;
  size_t main_begin_ = 0, main_end_ = 0;
  uint64_t main_text_ = 0;
};

}  // namespace katman
