// Damaged and hostile files: what is whole is delivered, the rest is one sentence or a counted
// skip.
#include <gtest/gtest.h>

#include "data_pipeline/clean/clean.h"
#include "tests/support/pages.h"
#include "tests/support/reading.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

std::string record(int number) {
  return warc_response("http://a.example/" + std::to_string(number), web_page(number));
}

std::string record_with_length(const std::string& length) {
  return "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: " + length +
         "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n\r\n";
}

// One sentence that names the file; `part` says what is wrong.
void expect_sentence(const WholeRead& read, const std::string& path, const std::string& part) {
  EXPECT_NE(read.error.find(path), std::string::npos) << read.error;
  EXPECT_NE(read.error.find(part), std::string::npos) << read.error;
  EXPECT_EQ(read.error.find('\n'), std::string::npos) << read.error;
}

TEST(Hostile, gzip_cut_off_anywhere_gives_what_was_whole_and_says_where) {
  const TempDir dir;
  const std::string first = gzip(record(1)), second = gzip(record(2));
  for (const size_t cut :
       {size_t{1}, size_t{5}, size_t{11}, second.size() / 2, second.size() - 1}) {
    const std::string path = dir.write("a.warc.gz", first + second.substr(0, cut));
    const WholeRead read = read_pages(path);
    EXPECT_GE(read.pages.size(), 1u) << cut;
    expect_sentence(read, path, "");
    EXPECT_NE(read.error, "") << cut;
  }
}

TEST(Hostile, a_flipped_bit_in_gzip_is_noticed) {
  const TempDir dir;
  std::string bytes = gzip(record(1)) + gzip(record(2));
  bytes[bytes.size() - 5] ^= 1;  // in the last member's checksum
  const std::string path = dir.write("a.warc.gz", bytes);
  const WholeRead read = read_pages(path);
  EXPECT_GE(read.pages.size(), 1u);
  expect_sentence(read, path, "gzip");
}

TEST(Hostile, garbage_behind_a_member_is_named) {
  const TempDir dir;
  const std::string path = dir.write("a.warc.gz", gzip(record(1)) + "garbage");
  const WholeRead read = read_pages(path);
  EXPECT_EQ(read.pages.size(), 1u);
  expect_sentence(read, path, "behind a gzip member");
}

TEST(Hostile, zstd_cut_off_is_named) {
  const TempDir dir;
  // A frame whose one raw block of 100 bytes ends after 3.
  const std::string path =
      dir.write("a.txt.zst", std::string("\x28\xb5\x2f\xfd\x20\x64\x21\x03\x00xyz", 12));
  expect_sentence(read_pages(path), path, "");
  EXPECT_NE(read_pages(path).error, "");
}

TEST(Hostile, a_wrong_content_length_costs_one_record) {
  const TempDir dir;
  for (const char* length : {"3", "30", "90", "-5", "abc", "", "99999999999999999999999"}) {
    const std::string path =
        dir.write("a.warc", record(1) + record_with_length(length) + record(2));
    const WholeRead read = read_pages(path);
    EXPECT_EQ(read.error, "") << length;
    EXPECT_EQ(read.pages.size(), 2u) << length;
    ASSERT_FALSE(read.counters.issues.empty()) << length;
    EXPECT_NE(read.counters.issues[0].where.find(path), std::string::npos);
  }
}

TEST(Hostile, a_record_that_claims_more_than_the_file_has_is_truncation) {
  const TempDir dir;
  for (const char* length : {"5000", "900000000000"}) {
    const std::string path = dir.write("a.warc", record(1) + record_with_length(length));
    const WholeRead read = read_pages(path);
    EXPECT_EQ(read.pages.size(), 1u) << length;
    expect_sentence(read, path, "truncated");
  }
}

TEST(Hostile, an_empty_file_and_a_missing_one_are_named) {
  const TempDir dir;
  const std::string path = dir.write("empty.warc", "");
  const WholeRead empty = read_pages(path);
  EXPECT_EQ(empty.pages.size(), 0u);
  if (!empty.error.empty()) expect_sentence(empty, path, "empty");
  expect_sentence(read_pages(dir.file("nowhere")), dir.file("nowhere"), "");
}

TEST(Hostile, a_line_too_long_is_skipped_and_counted_and_the_next_is_read) {
  const TempDir dir;
  const std::string line = "{\"text\": \"" + std::string(100000, 'x') + "\"}\n";
  const WholeRead read = read_pages(dir.write("a.jsonl", line + "{\"text\": \"short\"}\n" + line),
                                    {.max_page_bytes = 5000});
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.pages.size(), 1u);
  EXPECT_EQ(read.pages[0].bytes, "short");
  EXPECT_EQ(read.counters.skipped.at("json_line_too_long"), 2u);
}

TEST(Hostile, lines_that_are_no_json_are_skipped_and_counted) {
  const TempDir dir;
  const std::string deep = std::string(100000, '[') + "\n";
  const WholeRead read =
      read_pages(dir.write("a.jsonl", "{\"text\": \"one\"}\n{\"text\": 3}\n{\"text\": \"x\n" +
                                          deep + "{\"text\": \"two\"}\n"));
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.pages.size(), 2u);
  EXPECT_EQ(read.counters.records, 5u);
}

TEST(Hostile, html_nested_a_hundred_thousand_deep_is_a_counted_drop) {
  std::string html;
  for (int i = 0; i < 100000; ++i) html += "<div>";
  const Cleaned cleaned = Cleaner()({"http://a.example/", html + "deep", PageKind::html, "", 0});
  EXPECT_STREQ(cleaned.dropped, "html_too_deep");
}

TEST(Hostile, a_tag_of_a_million_attributes_takes_no_time) {
  std::string html = "<p ";
  for (int i = 0; i < 1000000; ++i) html += "a" + std::to_string(i) + " ";
  const Cleaned cleaned =
      Cleaner()({"http://a.example/", html + ">" + prose(1), PageKind::html, "", 0});
  EXPECT_EQ(cleaned.dropped, nullptr);
}

TEST(Hostile, bytes_that_are_no_utf8_become_replacement_characters) {
  const std::string text =
      prose(1) + " caf\xc3\xa9 \xff\xfe \xc3\x28 \xe2\x82 end of \xf0\x9f\x98\x80. ";
  const Cleaned cleaned = Cleaner()({"a", text, PageKind::text, "utf-8", 0});
  ASSERT_EQ(cleaned.dropped, nullptr);
  EXPECT_NE(cleaned.text.find("café"), std::string::npos);
  EXPECT_NE(cleaned.text.find("\xef\xbf\xbd"), std::string::npos);
  EXPECT_NE(cleaned.text.find("😀"), std::string::npos);
}

TEST(Hostile, random_bytes_of_any_kind_never_stop_the_reader_without_a_sentence) {
  const TempDir dir;
  uint64_t state = 12345;
  const auto draw = [&](uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  const std::string whole = record(1) + record(2) + record(3);
  for (int trial = 0; trial < 200; ++trial) {
    std::string bytes = trial % 2 ? whole : gzip(whole);
    for (uint64_t damage = 0; damage < 1 + draw(5); ++damage)
      bytes[draw(bytes.size())] = static_cast<char>(draw(256));
    if (draw(3) == 0) bytes.resize(draw(bytes.size()) + 1);
    const WholeRead read = read_pages(dir.write("damaged", bytes));
    const Cleaner cleaner;
    for (const Page& page : read.pages) cleaner(page);
    EXPECT_EQ(read.error.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace katman::testing
