// Every format, alone and compressed, gives its pages.
#include "data_pipeline/read/pages.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include "tests/support/pages.h"
#include "tests/support/reading.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

std::string zstd(const std::string& bytes) {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 3));
  return packed;
}

std::string wet_record(const std::string& text) {
  return "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.example/\r\n"
         "Content-Type: text/plain\r\nContent-Length: " +
         std::to_string(text.size()) + "\r\n\r\n" + text + "\r\n\r\n";
}

void expect_balance(const ReadCounters& counters) {
  uint64_t skipped = 0;
  for (const auto& [why, count] : counters.skipped) skipped += count;
  EXPECT_EQ(counters.records, counters.pages + skipped);
}

TEST(Pages, the_first_bytes_decide_what_a_file_is) {
  const TempDir dir;
  const std::map<std::string, std::string> files = {
      {"warc", warc_response("http://a.example/", "<p>Hello</p>")},
      {"wet", wet_record("Hello")},
      {"html", "<!DOCTYPE html><p>Hello</p>"},
      {"lines", "{\"text\": \"Hello\", \"url\": \"u\"}\n"},
      {"text", "Hello"},
  };
  for (const auto& [name, bytes] : files)
    for (const auto& packed : {bytes, gzip(bytes), zstd(bytes)}) {
      const WholeRead read = read_pages(dir.write("without-a-suffix", packed));
      EXPECT_EQ(read.error, "") << name;
      ASSERT_EQ(read.pages.size(), 1u) << name;
      EXPECT_NE(read.pages[0].bytes.find("Hello"), std::string::npos) << name;
      EXPECT_EQ(read.pages[0].kind == PageKind::html, name == "warc" || name == "html") << name;
      expect_balance(read.counters);
    }
}

TEST(Pages, members_and_frames_are_read_one_after_another) {
  const TempDir dir;
  std::string gzips, frames;
  for (int i = 0; i < 20; ++i) {
    const std::string record = warc_response("http://a.example/" + std::to_string(i), web_page(i));
    gzips += gzip(record);
    frames += zstd(record);
  }
  for (const std::string& bytes : {gzips, frames, gzips + std::string(100, '\0')}) {
    const WholeRead read = read_pages(dir.write("pages", bytes));
    EXPECT_EQ(read.error, "");
    ASSERT_EQ(read.pages.size(), 20u);
    EXPECT_EQ(read.pages[7].url, "http://a.example/7");
    EXPECT_EQ(read.counters.bytes_in, bytes.size());
  }
}

TEST(Pages, only_responses_that_are_pages_are_taken_and_the_others_counted) {
  const TempDir dir;
  const std::string warc =
      "WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n" +
      warc_response("http://a.example/", "<p>page</p>") +
      warc_response("http://a.example/i", "GIF89a", "image/gif") +
      warc_response("http://a.example/robots.txt", "Disallow: /", "text/plain") +
      warc_response("http://a.example/e", "");
  const WholeRead read = read_pages(dir.write("a.warc", warc));
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.counters.pages, 1u);
  EXPECT_EQ(read.counters.records, 5u);
  EXPECT_EQ(read.counters.skipped, (std::map<std::string, uint64_t>{{"warc_other_record", 1},
                                                                    {"not_html_or_text", 1},
                                                                    {"robots_txt", 1},
                                                                    {"empty_body", 1}}));
}

TEST(Pages, a_chunked_and_compressed_response_is_taken_apart) {
  const TempDir dir;
  const std::string body = gzip("<p>Hello</p>");
  char size[16];
  std::snprintf(size, sizeof size, "%zx", body.size());
  const std::string http =
      "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=latin1\r\nTransfer-Encoding: chunked\r\n"
      "Content-Encoding: gzip\r\n\r\n" +
      std::string(size) + "\r\n" + body + "\r\n0\r\n\r\n";
  const std::string warc =
      "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: " + std::to_string(http.size()) +
      "\r\n\r\n" + http + "\r\n\r\n";
  const WholeRead read = read_pages(dir.write("a.warc", warc));
  ASSERT_EQ(read.pages.size(), 1u) << read.error;
  EXPECT_EQ(read.pages[0].bytes, "<p>Hello</p>");
  EXPECT_EQ(read.pages[0].charset, "latin1");
}

TEST(Pages, json_lines_give_the_field_that_is_asked_for) {
  const TempDir dir;
  const std::string path = dir.write("a.jsonl",
                                     "{\"body\": \"one\\n\\u00e9\\ud83d\\ude00\", \"n\": [1, "
                                     "{\"body\": \"no\"}]}\r\n\n{\"body\": \"two\"}");
  const WholeRead read = read_pages(path, {.json_text_field = "body"});
  ASSERT_EQ(read.pages.size(), 2u) << read.error;
  EXPECT_EQ(read.pages[0].bytes, "one\né😀");
  EXPECT_EQ(read.pages[1].bytes, "two");
  EXPECT_EQ(read_pages(path).counters.skipped.size(), 1u) << "no field called text";
}

TEST(Pages, a_long_text_is_cut_at_a_blank_line_and_loses_nothing) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 300; ++i) text += "Line " + std::to_string(i) + (i % 7 ? "\n" : "\n\n");
  const WholeRead read = read_pages(dir.write("a.txt", text), {.text_page_bytes = 500});
  ASSERT_GT(read.pages.size(), 3u);
  std::string joined;
  for (const Page& page : read.pages) {
    EXPECT_LE(page.bytes.size(), 500u);
    joined += page.bytes;
  }
  const auto solid = [](std::string all) {
    std::erase(all, '\n');
    return all;
  };
  EXPECT_EQ(solid(joined), solid(text));
}

TEST(Pages, a_page_has_an_address_or_a_number_in_its_file) {
  const TempDir dir;
  const auto places = [](const WholeRead& read) {
    std::vector<std::string> all;
    for (const Page& page : read.pages) all.push_back(fmt::format("{}#{}", page.url, page.record));
    return all;
  };
  using Places = std::vector<std::string>;
  const std::string nameless =
      "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 5\r\n\r\nHello\r\n\r\n";
  EXPECT_EQ(places(read_pages(dir.write("a.warc", warc_response("<http://a.example/>", "<p>x</p>") +
                                                      warc_response("http://b.example/", "") +
                                                      nameless + wet_record("x")))),
            (Places{"http://a.example/#1", "#3", "http://a.example/#4"}));
  EXPECT_EQ(places(read_pages(
                dir.write("a.jsonl",
                          "{\"text\": \"a\", \"url\": \"u\"}\n\n{\"text\": \"b\"}\nbroken\n"
                          "{\"text\": \"c\", \"url\": 3}\n{\"url\": \"\", \"text\": \"d\"}"))),
            (Places{"u#1", "#3", "#5", "#6"}));
  EXPECT_EQ(places(read_pages(dir.write("a.html", "<p>x"))), Places{"#0"});
  EXPECT_EQ(places(read_pages(dir.write("a.txt", "one\ntwo\n"))), Places{"#0"});
  const std::string lines =
      std::string(60, 'x') + "\n\n" + std::string(60, 'y') + "\n\n" + std::string(9, 'z');
  EXPECT_EQ(places(read_pages(dir.write("b.txt", lines), {.text_page_bytes = 64})),
            (Places{"#1", "#3", "#5"}))
      << "the lines that its pieces begin in";
  const std::string url(1 << 20, 'u');
  const WholeRead read =
      read_pages(dir.write("c.jsonl", "{\"text\": \"a\", \"url\": \"" + url + "\"}"));
  EXPECT_EQ(read.pages.at(0).url, url.substr(0, max_url_bytes));
}

std::vector<std::string> paths(const std::vector<InputFile>& files) {
  std::vector<std::string> all;
  for (const InputFile& file : files) all.push_back(file.path);
  return all;
}

TEST(Inputs, directories_are_searched_and_files_taken_as_they_are) {
  const TempDir dir;
  for (const char* name : {"b/x.warc.gz", "a.html", "b/notes.doc", "b/.hidden.txt", "c.jsonl.zst"})
    dir.write(name, "x");
  EXPECT_EQ(paths(list_inputs({dir.path().string()})),
            (std::vector<std::string>{dir.file("a.html"), dir.file("b/x.warc.gz"),
                                      dir.file("c.jsonl.zst")}));
  EXPECT_EQ(list_inputs({dir.file("b/notes.doc"), dir.file("b/notes.doc")}).size(), 1u);
  EXPECT_THROW(list_inputs({dir.file("nowhere")}), UsageError);
  dir.write("empty/readme.doc", "x");
  EXPECT_THROW(list_inputs({dir.file("empty")}), UsageError);
}

TEST(Inputs, files_are_called_by_what_was_named_and_not_by_where_it_lies) {
  const TempDir dir;
  dir.write("crawl/a/b/c.html", "x");
  const auto name = [&](const std::string& path) {
    const auto files = list_inputs({dir.file(path)});
    EXPECT_EQ(files.size(), 1u);
    return files.at(0).name;
  };
  for (const char* same : {"crawl", "crawl/", "crawl/a/..", "./crawl/."})
    EXPECT_EQ(name(same), "crawl/a/b/c.html") << same;
  EXPECT_EQ(name("crawl/a"), "a/b/c.html");
  EXPECT_EQ(name("crawl/a/b/c.html"), "c.html");
  EXPECT_EQ(list_inputs({dir.file("crawl"), dir.file("crawl/a")}).at(0).name, "crawl/a/b/c.html");
  EXPECT_EQ(list_inputs({dir.file("crawl/a"), dir.file("crawl")}).at(0).name, "a/b/c.html")
      << "the first to name a file names it";
}

}  // namespace
}  // namespace katman::testing
