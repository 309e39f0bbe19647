#include "data_pipeline/tokenize/unicode.h"

#include <gtest/gtest.h>

#include <string_view>

namespace katman {
namespace {

size_t size_of_first(std::string_view text) {
  return read_char(text.data(), text.data() + text.size()).size;
}

TEST(Unicode, classes_are_those_of_the_standard) {
  EXPECT_EQ(char_class('A'), CharClass::upper);
  EXPECT_EQ(char_class(0x1c5), CharClass::upper);    // Lt
  EXPECT_EQ(char_class(0x131), CharClass::lower);    // dotless i
  EXPECT_EQ(char_class(0x4e2d), CharClass::letter);  // inside a range of the standard's file
  EXPECT_EQ(char_class(0x93f), CharClass::mark);     // Devanagari vowel sign
  EXPECT_EQ(char_class(0xb2), CharClass::number);    // superscript two
  EXPECT_EQ(char_class(0x1f600), CharClass::other);
  EXPECT_EQ(char_class(0x16d40), CharClass::letter);  // new in Unicode 16
  EXPECT_EQ(char_class(0x10ffff), CharClass::other);
}

TEST(Unicode, white_space_is_the_property_of_that_name) {
  size_t count = 0;
  for (uint32_t c = 0; c < 0x110000; ++c) count += char_class(c) == CharClass::space;
  EXPECT_EQ(count, 25u);
  for (uint32_t c : {0x9, 0xd, 0x20, 0x85, 0xa0, 0x2028, 0x3000})
    EXPECT_EQ(char_class(c), CharClass::space) << c;
  for (uint32_t c : {0x1c, 0x1f, 0x180e, 0x200b, 0xfeff})
    EXPECT_NE(char_class(c), CharClass::space) << c;
}

TEST(Unicode, a_byte_that_starts_no_character_is_one_character) {
  EXPECT_EQ(size_of_first("\xf0\x9f\x98\x80"), 4u);
  EXPECT_EQ(size_of_first("\xf0\x9f\x98"), 1u);      // cut off
  EXPECT_EQ(size_of_first("\xc0\xaf"), 1u);          // overlong
  EXPECT_EQ(size_of_first("\xe0\x80\xaf"), 1u);      // overlong
  EXPECT_EQ(size_of_first("\xed\xa0\x80"), 1u);      // surrogate
  EXPECT_EQ(size_of_first("\xf4\x90\x80\x80"), 1u);  // beyond U+10FFFF
  EXPECT_EQ(size_of_first("\xff"), 1u);
  EXPECT_EQ(size_of_first("\x80"), 1u);
}

}  // namespace
}  // namespace katman
