#include "data_pipeline/build/source.h"

#include <gtest/gtest.h>

#include "data_pipeline/clean/utf8.h"
#include "data_pipeline/corpus/sources.h"

namespace katman {
namespace {

std::string of_url(const std::string& url) {
  Page page;
  page.url = url;
  return source_of(page, "file");
}

TEST(Source, is_the_address_else_the_file_and_the_number_in_it) {
  EXPECT_EQ(of_url("https://a.example/?q=%20&r=~"), "https://a.example/?q=%20&r=~");
  EXPECT_EQ(of_url(" \r\nhttp://a.example/\t"), "http://a.example/");
  EXPECT_EQ(of_url("http://a.example/dağ/katman"), "http://a.example/dağ/katman");
  EXPECT_EQ(of_url(""), "file");
  EXPECT_EQ(of_url("  "), "file");
  Page page;
  page.record = 1234;
  EXPECT_EQ(source_of(page, "docs/a.jsonl"), "docs/a.jsonl:1234");
}

TEST(Source, is_one_harmless_line) {
  EXPECT_EQ(of_url("http://a/\n\x1b[2J\x7f"), "http://a/%0A%1B[2J%7F");
  EXPECT_EQ(of_url(std::string("a\0b", 3)), "a%00b");
  EXPECT_EQ(of_url("a\u0085b"), "a%C2%85b") << "a control character of C1";
  EXPECT_EQ(of_url("a\u202egpj.exe"), "a%E2%80%AEgpj.exe") << "right to left, from here on";
  EXPECT_EQ(of_url("a\u200bb\ufeff\u2028"), "a%E2%80%8Bb%EF%BB%BF%E2%80%A8");
  EXPECT_EQ(of_url("a\xff\xc3z"), "a\ufffd\ufffdz");
}

TEST(Source, is_cut_where_it_is_too_long_and_says_so) {
  const std::string fits(max_source_bytes, 'x');
  EXPECT_EQ(of_url(fits), fits);
  EXPECT_EQ(of_url(fits + "y"), fits.substr(3) + "…");
  EXPECT_EQ(of_url(std::string(1 << 20, 'x')), fits.substr(3) + "…");
  for (const std::string piece : {"é", "…", "😀", "\x01", "\u202e", "\xff"})
    for (size_t before = 0; before < 12; ++before) {
      std::string url(before, 'x');
      while (url.size() < 2 * max_source_bytes) url += piece;
      const std::string source = of_url(url);
      EXPECT_LE(source.size(), max_source_bytes);
      EXPECT_GT(source.size(), max_source_bytes - 12);
      EXPECT_EQ(utf8_census(source).invalid, 0u) << "not cut within a character";
      EXPECT_TRUE(source.ends_with("…"));
    }
}

}  // namespace
}  // namespace katman
