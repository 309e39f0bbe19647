// What kind of character a byte sequence is: the part of Unicode that pre-tokenisers ask about.
#pragma once

#include <cstddef>
#include <cstdint>

namespace katman {

// The general categories, folded to what the published patterns tell apart: upper = Lu, Lt;
// lower = Ll; letter = Lm, Lo; mark = M*; number = N*; space = the property White_Space. The order
// is that of the generated table.
enum class CharClass : uint8_t { other, upper, lower, letter, mark, number, space };

// A set of classes is a bit mask.
using ClassSet = uint8_t;
constexpr ClassSet bit(CharClass c) {
  return static_cast<ClassSet>(1u << static_cast<unsigned>(c));
}
constexpr ClassSet letters = bit(CharClass::upper) | bit(CharClass::lower) | bit(CharClass::letter);
constexpr ClassSet numbers = bit(CharClass::number);
constexpr ClassSet spaces = bit(CharClass::space);
constexpr ClassSet others = bit(CharClass::other) | bit(CharClass::mark);

// The table's Unicode version ("16.0.0"). Letters are added by every version, so it is part of what
// decides the ids.
extern const char* const unicode_version;
extern const uint8_t unicode_block[0x110000 / 128];  // [code point / 128]
extern const char unicode_class[];                   // [block * 128 + code point % 128], digits

inline CharClass char_class(uint32_t code_point) {
  const size_t block = unicode_block[code_point >> 7];
  return static_cast<CharClass>(unicode_class[block * 128 + (code_point & 127)] - '0');
}

// One character of a text: its class as a one-element set, and how many bytes it takes.
struct Char {
  ClassSet cls;
  uint8_t size;
};

// Decodes a character that starts with a byte >= 0x80. A byte that does not start a well-formed
// sequence (Unicode, table 3-7) is one character of class `other`, so every byte string has
// exactly one reading. Requires p < end.
inline Char read_wide_char(const char* p, const char* end) {
  const auto byte = [p](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(p[i])); };
  const auto continues = [byte](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  constexpr Char broken = {bit(CharClass::other), 1};
  const uint32_t lead = byte(0);
  const size_t left = static_cast<size_t>(end - p);
  if (lead < 0xe0) {
    if (lead < 0xc2 || left < 2 || !continues(1)) return broken;
    return {bit(char_class((lead & 0x1f) << 6 | (byte(1) & 0x3f))), 2};
  }
  if (lead < 0xf0) {
    if (left < 3 || !continues(1) || !continues(2)) return broken;
    const uint32_t code = (lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
    if (code < 0x800 || (code >= 0xd800 && code < 0xe000)) return broken;
    return {bit(char_class(code)), 3};
  }
  if (left < 4 || !continues(1) || !continues(2) || !continues(3)) return broken;
  const uint32_t code =
      (lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
  if (lead > 0xf4 || code < 0x10000 || code >= 0x110000) return broken;
  return {bit(char_class(code)), 4};
}

inline Char read_char(const char* p, const char* end) {
  const auto byte = static_cast<uint8_t>(*p);
  if (byte < 0x80) return {bit(static_cast<CharClass>(unicode_class[byte] - '0')), 1};
  return read_wide_char(p, end);
}

}  // namespace katman
