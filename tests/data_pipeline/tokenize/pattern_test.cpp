#include "data_pipeline/tokenize/pattern.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "tests/data_pipeline/tokenize/regex_oracle.h"

namespace katman {
namespace {
using testing::RegexOracle;

std::vector<std::string> pieces_of(Pattern pattern, std::string_view text) {
  std::vector<std::string> pieces;
  std::array<const char*, 3> ends;  // small, so that batches end in the middle of things
  PieceScanner scanner(pattern, text);
  const char* begin = text.data();
  while (const size_t count = scanner.next(ends))
    for (size_t i = 0; i < count; begin = ends[i++]) pieces.emplace_back(begin, ends[i]);
  return pieces;
}

std::string utf8(const std::vector<uint32_t>& text, size_t begin, size_t end) {
  std::string bytes;
  for (size_t i = begin; i < end; ++i) {
    const uint32_t c = text[i];
    const auto tail = [c](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3f)); };
    if (c < 0x80)
      bytes += static_cast<char>(c);
    else if (c < 0x800)
      (bytes += static_cast<char>(0xc0 | c >> 6)) += tail(0);
    else if (c < 0x10000)
      ((bytes += static_cast<char>(0xe0 | c >> 12)) += tail(6)) += tail(0);
    else
      (((bytes += static_cast<char>(0xf0 | c >> 18)) += tail(12)) += tail(6)) += tail(0);
  }
  return bytes;
}

// Characters of every class and of every special treatment, none much likelier than another; and
// long runs, so that the blocks of the fast scanner begin and end everywhere.
std::vector<uint32_t> random_text(Key key) {
  static const std::vector<uint32_t> alphabet = {
      'a',    's',    't',  'L',  'E',   'v',  0xe9, 0x17f, 0x1c5,  0x2b0,   0x915,
      0x93f,  '5',    '0',  0xb2, 0x663, '\'', '\'', '.',   '/',    0x1f600, 0x200d,
      0x301,  0x5d0,  ' ',  ' ',  '\t',  '\n', '\r', 0xa0,  0x3000, 0x85,    0x2028,
      0x200b, 0x180e, 0x1c, 'l',  'm',   'd',  'r',  'e',   '!',    0x10400, 0x4e2d};
  std::vector<uint32_t> text;
  const uint64_t size = 1 + random_bits(key, 0) % 24;
  for (uint64_t i = 1; i <= size; ++i) {
    const uint64_t bits = random_bits(key, i);
    // Half of the texts are ASCII.
    uint32_t c = alphabet[(bits >> 8) % alphabet.size()];
    if (random_bits(key, 0) >> 63 && c > 0x7f) c = "a' 5"[bits & 3];
    text.insert(text.end(), bits >> 60 ? 1 : 1 + (bits >> 40) % 80, c);
  }
  return text;
}

TEST(Pattern, every_scanner_agrees_with_its_regular_expression) {
  for (Pattern pattern : all_patterns) {
    const RegexOracle oracle(regex_of(pattern));
    for (uint64_t round = 0; round < 4000; ++round) {
      const auto text = random_text(Key(1).at(round));
      std::vector<std::string> expected;
      for (size_t at = 0; at < text.size();) {
        const size_t end = oracle.match(text, at);
        ASSERT_GT(end, at) << "the oracle is stuck";
        expected.push_back(utf8(text, at, end));
        at = end;
      }
      ASSERT_EQ(pieces_of(pattern, utf8(text, 0, text.size())), expected)
          << name_of(pattern) << ", text of Key(1).at(" << round << ")";
    }
  }
}

TEST(Pattern, gpt2_cuts_as_published) {
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces_of(Pattern::gpt2, "Hello world, it's 42!"),
            (Pieces{"Hello", " world", ",", " it", "'s", " 42", "!"}));
  EXPECT_EQ(pieces_of(Pattern::gpt2, "a   b \n\n c  "),
            (Pieces{"a", "  ", " b", " \n\n", " c", "  "}));
  EXPECT_EQ(pieces_of(Pattern::gpt2, "x'll 'll !'s 'Re"),
            (Pieces{"x", "'ll", " '", "ll", " !'", "s", " '", "Re"}));
}

TEST(Pattern, llama3_and_o200k_cut_as_published) {
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces_of(Pattern::llama3, "it'S 12345 (a)\n\n  b \n"),
            (Pieces{"it", "'S", " ", "123", "45", " (", "a", ")\n\n", " ", " b", " \n"}));
  EXPECT_EQ(pieces_of(Pattern::o200k, "HTTPServer's URL/path"),
            (Pieces{"HTTPServer's", " URL", "/path"}));
}

TEST(Pattern, pieces_of_broken_bytes_cover_the_text_without_gaps) {
  for (Pattern pattern : all_patterns) {
    for (uint64_t round = 0; round < 300; ++round) {
      std::string text;
      const Key key = Key(2).at(round);
      for (uint64_t i = 0; i < 1 + random_bits(key, 0) % 200; ++i) {
        const uint64_t bits = random_bits(key, i + 1);
        text += bits & 1 ? static_cast<char>(bits >> 8)
                         : "\xf0\x9f\xe4\xb8 a'\n\xed\xa0"[bits >> 60 & 7];
      }
      std::string whole;
      for (const std::string& piece : pieces_of(pattern, text)) {
        EXPECT_FALSE(piece.empty());
        whole += piece;
      }
      EXPECT_EQ(whole, text);
    }
  }
}

TEST(Pattern, hostile_repetition_takes_linear_time) {
  for (Pattern pattern : all_patterns) {
    for (const std::string unit : {"x", "A", " ", "\n", " \n", "'", "'s", "0", "^", "\xe4\xb8\xad",
                                   "\xe2\x80\x83", "\xcc\x81",
                                   "\xca\xb0"
                                   "A",
                                   " \xc2\xa0"}) {
      std::string text;
      while (text.size() < 1 << 20) text += unit;
      for (const std::string end : {"", "a"}) {
        size_t bytes = 0;
        for (const std::string& piece : pieces_of(pattern, text + end)) bytes += piece.size();
        EXPECT_EQ(bytes, text.size() + end.size());
      }
    }
  }
}

TEST(Pattern, is_known_by_name_and_by_regular_expression) {
  for (Pattern pattern : all_patterns) {
    EXPECT_EQ(pattern_named(name_of(pattern)), pattern);
    EXPECT_EQ(pattern_of_regex(regex_of(pattern)), pattern);
  }
  EXPECT_EQ(pattern_named("cl100k"), Pattern::llama3);
  EXPECT_THROW(pattern_named("gpt-2"), UsageError);
  EXPECT_THROW(pattern_of_regex(R"(\w+|\s+)"), Error);
}

}  // namespace
}  // namespace katman
