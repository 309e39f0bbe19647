// UTF-8: the one encoding inside Katman.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace katman {

inline constexpr char32_t replacement_character = 0xfffd;

// The code point at text[at], which must be valid UTF-8 there; moves `at` behind it.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return ++at, lead;
  char32_t point;
  if (lead < 0xe0) {
    point = (lead & 0x1f) << 6 | (byte(1) & 0x3f);
    at += 2;
  } else if (lead < 0xf0) {
    point = (lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
    at += 3;
  } else {
    point = (lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
    at += 4;
  }
  return point;
}

void append_utf8(std::string& out, char32_t point);

// How many of the last bytes begin a character whose rest is still to come: 0 to 3.
size_t incomplete_utf8_bytes(std::string_view text);

// What a look at bytes says about their being UTF-8.
struct Utf8Census {
  uint64_t multibyte = 0;  // well-formed sequences of two bytes and more
  uint64_t invalid = 0;    // maximal ill-formed subparts
};
Utf8Census utf8_census(std::string_view bytes);

// Copies valid UTF-8 and puts one U+FFFD for each maximal subpart of an ill-formed sequence, as in
// the Unicode standard, section 3.9, "U+FFFD Substitution of Maximal Subparts".
std::string repair_utf8(std::string_view bytes);

}  // namespace katman
