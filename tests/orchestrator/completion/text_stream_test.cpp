#include "orchestrator/completion/text_stream.h"

#include <gtest/gtest.h>

namespace katman::testing {
namespace {

TEST(TextStream, a_character_comes_out_when_it_is_complete) {
  TextStream stream;
  EXPECT_EQ(stream.add("a\xc3"), "a");
  EXPECT_EQ(stream.add("\xa7"), "\xc3\xa7");
  EXPECT_EQ(stream.add("\xf0\x9f"), "");
  EXPECT_EQ(stream.finish(), "\xf0\x9f");
  EXPECT_EQ(stream.text(), "a\xc3\xa7\xf0\x9f");
}

TEST(TextStream, what_might_begin_a_stop_string_waits_until_it_does_not) {
  TextStream stream({"END", "\n\n"});
  EXPECT_EQ(stream.add("one E"), "one ");
  EXPECT_EQ(stream.add("N"), "");
  EXPECT_EQ(stream.add("ough\n"), "ENough");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.add("\nmore"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.add("END"), "");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.text(), "one ENough");
}

TEST(TextStream, the_first_of_several_stop_strings_counts) {
  TextStream stream({"world", "lo"});
  EXPECT_EQ(stream.add("hello world"), "hel");
  EXPECT_TRUE(stream.stopped());
}

}  // namespace
}  // namespace katman::testing
