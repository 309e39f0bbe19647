// The few fields that matter of one JSON object, without building the rest of it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace katman {

struct JsonField {
  std::string_view name;
  std::string value;
  bool found = false;  // the object has this name, with a string as its value
};

struct JsonLine {
  const char* error = nullptr;  // why the line is not one JSON object, or nullptr
  bool lone_surrogate = false;  // a \ud800-like escape without its partner became U+FFFD
};

// Reads one object (RFC 8259) and fills the wanted fields of its outermost level; of a name that
// occurs twice the last one counts. Strings come out as the bytes between the quotes with escapes
// undone; that they are UTF-8 is not checked. Nesting is followed without recursion, 512 deep.
JsonLine read_json_fields(std::string_view line, std::span<JsonField> wanted);

}  // namespace katman
