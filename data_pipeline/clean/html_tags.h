// What the extractor knows about elements: how their text is set, and whether they can be content.
#pragma once

#include <cstdint>
#include <string_view>

namespace katman {

enum class Tag : uint8_t {
  inline_,   // runs on in the line; also every element not known
  line,      // starts and ends a line
  block,     // has an empty line before and after
  list,      // a block; its items are counted
  numbered,  // a list with numbers
  item,      // a line with a bullet or number
  table,
  row,
  cell,
  pre,  // a block; white space is as written
  line_break,
  link,
  heading,
  main,  // the element that HTML has for the main content
  footer,
  header,
  root,   // html, body, article: never judged by class
  never,  // not readable text whatever is in it
};

// `name` in lower case, as the parser gives it.
Tag tag_of(std::string_view name);

}  // namespace katman
