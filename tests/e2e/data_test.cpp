// The program itself: `katman data` on input that is larger, longer or worse than anyone wants.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/pages.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

// A zstd frame (RFC 8878) of blocks of at most 128 KiB: `count` times `byte`, four bytes a block.
std::string zstd_repeated(char byte, uint64_t count) {
  constexpr uint64_t most = 128 << 10;
  std::string frame("\x28\xb5\x2f\xfd\x00\x38", 6);
  while (count > 0) {
    const uint64_t size = std::min(count, most);
    count -= size;
    const uint64_t header = size << 3 | 1 << 1 | (count == 0);
    for (int shift = 0; shift < 24; shift += 8) frame += static_cast<char>(header >> shift);
    frame += byte;
  }
  return frame;
}

// The same for text as it is.
std::string zstd_raw(const std::string& text) {
  std::string frame("\x28\xb5\x2f\xfd\x00\x38", 6);
  const uint64_t header = text.size() << 3 | 1;
  for (int shift = 0; shift < 24; shift += 8) frame += static_cast<char>(header >> shift);
  return frame + text;
}

std::string json_lines(uint64_t documents) {
  std::string lines;
  for (uint64_t i = 0; i < documents; ++i)
    lines += nlohmann::json{{"text", prose(i)}}.dump() + "\n";
  return lines;
}

Result build(const TempDir& dir, const std::string& input) {
  return run({katman(), "data", "build", "--force", "--json", "--vocabulary", "400", "--threads",
              "2", "--out", dir.file("corpus"), input});
}

TEST(Data, a_line_of_a_gigabyte_costs_a_counted_skip_and_little_memory) {
  const TempDir dir;
  constexpr uint64_t gigabyte = 1 << 30;
  const std::string path = dir.write("lines.jsonl.zst", zstd_raw(json_lines(20) + "{\"text\": \"") +
                                                            zstd_repeated('x', gigabyte) +
                                                            zstd_raw("\"}\n" + json_lines(30)));
  const Result result = build(dir, path);
  ASSERT_EQ(result.status, 0) << result.output;
  const auto report = nlohmann::json::parse(result.output.substr(result.output.find('{')));
  EXPECT_EQ(report.at("skipped").at("json_line_too_long"), 1) << result.output;
  EXPECT_EQ(report.at("kept"), 30);
  EXPECT_LT(result.peak_bytes, 400 << 20);
}

TEST(Data, memory_does_not_grow_with_the_input) {
  const TempDir dir;
  std::string few, many;
  for (uint64_t i = 0; i < 3; ++i) few += zstd_raw(json_lines(60));
  for (uint64_t i = 0; i < 300; ++i) many += zstd_raw(json_lines(60));
  const Result small = build(dir, dir.write("few.jsonl.zst", few));
  const Result large = build(dir, dir.write("many.jsonl.zst", many));
  ASSERT_EQ(small.status, 0) << small.output;
  ASSERT_EQ(large.status, 0) << large.output;
  EXPECT_LT(large.peak_bytes, small.peak_bytes + (100 << 20)) << "of 30 MB";
}

TEST(Data, says_what_became_of_every_page_when_none_is_left) {
  const TempDir dir;
  const Result result = build(dir, dir.write("a.jsonl", "{\"text\": \"Short.\"}\n{\"text\": 3}\n"));
  EXPECT_EQ(result.status, 1);
  for (const char* part : {"no document was kept of 2 records", "1 as json_no_text", "1 as "})
    EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
  EXPECT_FALSE(std::filesystem::exists(dir.file("corpus")));
}

// A corpus of pages with an address each but the second; the first is held out.
std::string corpus_of_pages(const TempDir& dir) {
  std::string lines;
  for (uint64_t i = 0; i < 40; ++i) {
    nlohmann::json page = {{"text", prose(i)}};
    if (i != 1) page["url"] = fmt::format("http://a.example/{}", i);
    lines += page.dump() + "\n";
  }
  const Result result = build(dir, dir.write("pages.jsonl", lines));
  EXPECT_EQ(result.status, 0) << result.output;
  return dir.file("corpus");
}

Result show(std::vector<std::string> words) {
  words.insert(words.begin(), {katman(), "data", "show"});
  return run(words);
}

TEST(Data, shows_a_document_with_where_it_came_from) {
  const TempDir dir;
  const std::string corpus = corpus_of_pages(dir);
  const Result whole = show({corpus, "--document", "0"});
  EXPECT_EQ(whole.status, 0);
  std::string text = prose(1);
  while (text.back() == '\n') text.pop_back();
  const auto json = nlohmann::json::parse(show({corpus, "--document", "0", "--json"}).output);
  EXPECT_EQ(json.at("source"), "pages.jsonl:2");
  EXPECT_EQ(json.at("text"), text);
  EXPECT_EQ(whole.output,
            fmt::format("document 0 of train: pages.jsonl:2\n{} tokens, in train-00000.tokens\n\n"
                        "{}\n",
                        json.at("tokens").get<int>(), text));
  const Result held_out = show({corpus, "--document", "0", "--split", "validation"});
  EXPECT_NE(held_out.output.find("document 0 of validation: http://a.example/"), std::string::npos)
      << held_out.output;
  const Result inspected = run({katman(), "data", "inspect", corpus, "--samples", "2"});
  EXPECT_NE(inspected.output.find(", http://a.example/"), std::string::npos) << inspected.output;

  const Result samples = show({corpus, "--samples", "3-5", "--sequence", "700", "--seed", "7"});
  for (const char* part : {"sample 3: epoch 1, tokens from", "sample 5: ", ": http://a.example/"})
    EXPECT_NE(samples.output.find(part), std::string::npos) << samples.output;
  EXPECT_EQ(samples.output.find("sample 6"), std::string::npos);
}

TEST(Data, says_plainly_when_a_source_is_not_known_or_not_readable) {
  const TempDir dir;
  const std::string corpus = corpus_of_pages(dir);
  std::filesystem::remove(dir.file("corpus/train-00000.sources"));
  const Result missing = show({corpus, "--document", "1"});
  EXPECT_EQ(missing.status, 0) << "the document itself is there";
  EXPECT_NE(missing.output.find("of train: cannot open "), std::string::npos) << missing.output;
  EXPECT_NE(missing.output.find("train-00000.sources"), std::string::npos) << missing.output;
  const Result verified = run({katman(), "data", "inspect", corpus, "--verify"});
  EXPECT_EQ(verified.status, 1);
  EXPECT_NE(verified.output.find("train-00000.sources"), std::string::npos) << verified.output;

  auto manifest = nlohmann::ordered_json::parse(read_file(dir.file("corpus/corpus.json")));
  for (auto& split : manifest.at("splits"))
    for (auto& shard : split.at("shards")) shard.erase("sources");  // as older programs wrote it
  dir.write("corpus/corpus.json", manifest.dump());
  const Result unknown = show({corpus, "--document", "1"});
  EXPECT_EQ(unknown.status, 0);
  EXPECT_NE(unknown.output.find("document 1 of train: source unknown"), std::string::npos);
  EXPECT_NE(unknown.output.find("build it again to know"), std::string::npos) << unknown.output;
  EXPECT_EQ(run({katman(), "data", "inspect", corpus, "--verify"}).status, 0);
}

TEST(Data, what_cannot_be_shown_is_refused_in_one_sentence) {
  const TempDir dir;
  const std::string corpus = corpus_of_pages(dir);
  const std::vector<std::pair<std::vector<std::string>, const char*>> wrong = {
      {{corpus}, "one of --document, --samples and --step"},
      {{corpus, "--document", "1", "--samples", "1"}, "one of --document, --samples and --step"},
      {{"--document", "1"}, "name the corpus"},
      {{corpus, "--document", "1000"}, "has 3"},
      {{corpus, "--samples", "3"}, "--sequence and --seed"},
      {{corpus, "--samples", "3-", "--sequence", "8", "--seed", "7"}, "for example 240-243"},
      {{corpus, "--samples", "5-3", "--sequence", "8", "--seed", "7"}, "for example 240-243"},
      {{corpus, "--step", "3"}, "--step needs --run"},
      {{"--run", corpus, "--samples", "3"}, "is not the directory of a run"}};
  for (const auto& [words, part] : wrong) {
    const Result result = show(words);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
  }
}

}  // namespace
}  // namespace katman::testing
