#include "data_pipeline/build.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "data_pipeline/corpus/corpus.h"
#include "data_pipeline/corpus/loader.h"
#include "tests/support/pages.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman {
namespace {

namespace fs = std::filesystem;
using namespace katman::testing;

// Three inputs of different kinds: a WARC with 60 pages in gzip members, of which five are copies;
// JSON lines with 30 documents, one of them a copy and one broken; a text file that is too short.
void write_inputs(const TempDir& dir) {
  std::string warc;
  for (uint64_t i = 0; i < 60; ++i)
    warc += gzip(warc_response(fmt::format("http://example.org/{}", i), web_page(i % 55)));
  dir.write("in/a.warc.gz", warc);
  std::string lines;
  for (uint64_t i = 0; i < 30; ++i)
    lines += nlohmann::json{{"text", prose(1000 + i % 29)}}.dump() + "\n";
  dir.write("in/b.jsonl", lines + "{\"text\": 3}\n");
  dir.write("in/c.txt", "Too short.");
}

BuildOptions options_for(const TempDir& dir, const std::string& out = "corpus") {
  BuildOptions options;
  options.inputs = {dir.file("in")};
  options.out = dir.file(out);
  options.vocabulary = 400;
  options.shards.tokens = 5000;
  return options;
}

BuildResult build(const BuildOptions& options) {
  Progress progress;
  return build_corpus(options, progress);
}

std::map<std::string, std::string> files_in(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), directory).string()] = read_file(entry.path());
  return files;
}

TEST(Build, counts_every_record_and_drops_exact_duplicates) {
  TempDir dir;
  write_inputs(dir);
  const auto [ledger, manifest] = build(options_for(dir));
  EXPECT_EQ(ledger.files, 3u);
  EXPECT_EQ(ledger.records, 60u + 31u + 1u);
  EXPECT_EQ(ledger.dropped.at("exact_duplicate"), 6u);
  EXPECT_EQ(ledger.kept, 55u + 29u);
  EXPECT_EQ(ledger.pages, 60u + 30u + 1u) << report_table(ledger, manifest);
  ledger.check();
  const auto report = nlohmann::json::parse(read_file(dir.file("corpus/report.json")));
  EXPECT_EQ(report.at("kept"), 84);
  EXPECT_EQ(report.at("dropped").at("exact_duplicate"), 6);
  // The books balance in the file as they do here.
  const auto sum = [](const nlohmann::json& counts) {
    uint64_t total = 0;
    for (const auto& count : counts) total += count.get<uint64_t>();
    return total;
  };
  EXPECT_EQ(report.at("records"), report.at("pages").get<uint64_t>() + sum(report.at("skipped")));
  EXPECT_EQ(report.at("pages"), report.at("kept").get<uint64_t>() + sum(report.at("dropped")));
}

TEST(Build, is_byte_identical_for_any_number_of_threads) {
  TempDir dir;
  write_inputs(dir);
  std::map<std::string, std::string> first;
  for (const int threads : {1, 2, 5}) {
    auto options = options_for(dir, fmt::format("corpus{}", threads));
    options.threads = threads;
    build(options);
    const auto files = files_in(options.out);
    if (threads == 1) first = files;
    ASSERT_GT(files.size(), 6u) << "tokenizer, manifest, report and several shards";
    EXPECT_EQ(files, first) << threads << " threads";
    EXPECT_TRUE(files.contains("train-00000.sources") && files.contains("train-00001.sources"));
  }
}

TEST(Build, says_where_every_document_came_from) {
  TempDir dir;
  write_inputs(dir);
  dir.write("in/d/wet.warc",
            "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://wet.example/\r\n"
            "Content-Length: " +
                std::to_string(prose(2000).size()) + "\r\n\r\n" + prose(2000));
  dir.write("in/d/page.html", web_page(2001));
  dir.write("in/notes.txt", prose(2002));
  dir.write("in/urls.jsonl",
            nlohmann::json{{"text", prose(2003)}, {"url", "http://json.example/"}}.dump() + "\n");
  const auto [ledger, manifest] = build(options_for(dir));
  const Corpus corpus = Corpus::open(dir.file("corpus"));
  corpus.verify();
  const Tokenizer tokenizer = Tokenizer::load(corpus.tokenizer_path());
  std::map<std::string, std::string> texts;  // by source
  for (const Split split : all_splits)
    for (uint64_t d = 0; d < corpus.documents(split); ++d) {
      const auto ids = corpus.document(split, d);
      texts[corpus.source(split, d)] =
          tokenizer.decode(std::vector<uint32_t>(ids.begin(), ids.end() - 1));
    }
  EXPECT_EQ(texts.size(), ledger.kept) << "each has one of its own";
  const auto expect = [&](const std::string& source, uint64_t number) {
    ASSERT_TRUE(texts.contains(source)) << source;
    const std::string begins = prose(number, 1);
    EXPECT_NE(texts.at(source).find(begins.substr(0, begins.find('\n'))), std::string::npos)
        << source << ": " << texts.at(source);
  };
  for (uint64_t i = 0; i < 55; ++i) expect(fmt::format("http://example.org/{}", i), i);
  for (uint64_t i = 0; i < 29; ++i) expect(fmt::format("in/b.jsonl:{}", i + 1), 1000 + i);
  expect("http://wet.example/", 2000);
  expect("in/d/page.html", 2001);
  expect("in/notes.txt", 2002);
  expect("http://json.example/", 2003);
}

TEST(Build, decodes_to_the_clean_text_in_input_order) {
  TempDir dir;
  write_inputs(dir);
  build(options_for(dir));
  const Corpus corpus = Corpus::open(dir.file("corpus"));
  corpus.verify();
  const Tokenizer tokenizer = Tokenizer::load(corpus.tokenizer_path());
  std::vector<std::string> texts;
  for (uint64_t d = 0; d < corpus.documents(Split::train); ++d) {
    const auto ids = corpus.document(Split::train, d);
    ASSERT_EQ(ids.back(), static_cast<int32_t>(tokenizer.end_of_document()));
    texts.push_back(tokenizer.decode(std::vector<uint32_t>(ids.begin(), ids.end() - 1)));
  }
  uint64_t found = 0;  // the prose of the JSON lines, in order, after the web pages
  for (uint64_t i = 0; i < 29; ++i) {
    std::string expected = prose(1000 + i);
    while (expected.back() == '\n') expected.pop_back();
    while (found < texts.size() && texts[found] != expected) ++found;
    if (found == texts.size()) found = 0;  // held out
  }
  EXPECT_GT(found, 40u);
  EXPECT_NE(texts[0].find("Page 0"), std::string::npos) << texts[0];
  EXPECT_EQ(texts[0].find("All pages"), std::string::npos) << "navigation: " << texts[0];
}

TEST(Build, holds_out_a_usable_part_and_never_a_document_of_both_sides) {
  TempDir dir;
  write_inputs(dir);
  const auto manifest = build(options_for(dir)).manifest;
  const auto& train = manifest.split(Split::train);
  const auto& validation = manifest.split(Split::validation);
  const double share = static_cast<double>(validation.text_bytes) /
                       static_cast<double>(validation.text_bytes + train.text_bytes);
  EXPECT_NEAR(share, 0.1, 0.02);
  EXPECT_EQ(train.documents + validation.documents, 84u);
  auto options = options_for(dir, "half");
  options.validation = 0.5;
  const auto half = build(options).manifest;
  EXPECT_NEAR(static_cast<double>(half.split(Split::train).text_bytes),
              static_cast<double>(half.split(Split::validation).text_bytes),
              0.05 * static_cast<double>(train.text_bytes));
}

TEST(Build, feeds_the_loader) {
  TempDir dir;
  write_inputs(dir);
  build(options_for(dir));
  const Corpus corpus = Corpus::open(dir.file("corpus"));
  const Loader loader(corpus, Split::validation, 64, 1);
  std::vector<int32_t> tokens(65);
  for (uint64_t i = 0; i < 2 * loader.samples_per_epoch(); ++i) {
    loader.sample(i, tokens);
    for (const int32_t id : tokens) ASSERT_LT(id, 400);
  }
}

TEST(Build, uses_a_given_tokenizer) {
  TempDir dir;
  write_inputs(dir);
  auto options = options_for(dir, "tokenizer.json");
  Progress progress;
  const Ledger ledger = train_tokenizer(options, progress);
  EXPECT_EQ(ledger.kept, 84u);
  EXPECT_TRUE(fails_with("exists already", [&] { train_tokenizer(options, progress); }));
  build(options_for(dir, "learned"));
  options.tokenizer = options.out;
  options.out = dir.file("given");
  build(options);
  EXPECT_EQ(files_in(dir.file("given")), files_in(dir.file("learned")));
}

// Base64 of a byte, as .tiktoken files have it.
std::string base64_of(unsigned char byte) {
  static constexpr char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return {digits[byte >> 2], digits[(byte & 3) << 4], '=', '='};
}

TEST(Build, takes_a_tiktoken_file_whose_pattern_is_named) {
  TempDir dir;
  write_inputs(dir);
  std::string lines;
  for (int byte = 0; byte < 256; ++byte)
    lines += base64_of(static_cast<unsigned char>(byte)) + " " + std::to_string(byte) + "\n";
  auto options = options_for(dir);
  options.tokenizer = dir.write("bytes.tiktoken", lines);
  EXPECT_TRUE(fails_with("name the pattern", [&] { build(options); }));
  options.pattern = Pattern::llama3;
  build(options);
  const Corpus corpus = Corpus::open(options.out);
  EXPECT_EQ(corpus.manifest().vocabulary, 257u);
  EXPECT_EQ(corpus.document(Split::train, 0).back(), 256);
}

TEST(Build, leaves_an_existing_corpus_alone_unless_forced) {
  TempDir dir;
  write_inputs(dir);
  auto options = options_for(dir);
  options.shards.tokens = 1000;
  build(options);
  const auto before = files_in(options.out);
  options.shards.tokens = 100000;
  EXPECT_TRUE(fails_with("holds a corpus already", [&] { build(options); }));
  EXPECT_EQ(files_in(options.out), before);
  options.force = true;
  build(options);
  for (const char* old : {"train-00001.tokens", "train-00001.sources"}) {
    EXPECT_TRUE(before.contains(old));
    EXPECT_FALSE(files_in(options.out).contains(old)) << "old shards are gone";
  }
  Corpus::open(options.out).verify();
}

TEST(Build, a_damaged_file_is_counted_and_what_precedes_the_damage_is_kept) {
  TempDir dir;
  write_inputs(dir);
  const std::string whole = read_file(dir.file("in/a.warc.gz"));
  dir.write("in/a.warc.gz", whole.substr(0, whole.size() / 2));
  const auto ledger = build(options_for(dir)).ledger;
  EXPECT_EQ(ledger.skipped.at("damaged_file_rest"), 1u);
  EXPECT_GT(ledger.kept, 29u + 20u);
  ASSERT_FALSE(ledger.issues.empty());
  EXPECT_NE(ledger.issues[0].what.find("a.warc.gz"), std::string::npos) << ledger.issues[0].what;
}

TEST(Build, leaves_nothing_when_it_fails) {
  TempDir dir;
  dir.write("in/a.txt", "Too short.");
  EXPECT_TRUE(fails_with("no document was kept of 1 records", [&] { build(options_for(dir)); }));
  EXPECT_FALSE(fs::exists(dir.file("corpus")));
  write_inputs(dir);
  Progress progress;
  progress.stop = true;
  EXPECT_TRUE(fails_with("interrupted", [&] { build_corpus(options_for(dir), progress); }));
  EXPECT_FALSE(fs::exists(dir.file("corpus")));
  dir.write("corpus/building/result/train-00000.tokens", "left by a killed build");
  EXPECT_TRUE(fails_with("is not a corpus", [&] { Corpus::open(dir.file("corpus")); }));
  build(options_for(dir));
  EXPECT_FALSE(fs::exists(dir.file("corpus/building")));
  EXPECT_TRUE(fails_with("Not a directory", [&] {
    auto options = options_for(dir, "in/a.txt");
    build(options);
  }));
}

}  // namespace
}  // namespace katman
