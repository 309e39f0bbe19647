#include "data_pipeline/corpus/corpus.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "data_pipeline/corpus/writer.h"
#include "tests/support/corpus.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman {
namespace {

using testing::fails_with;
using testing::read_file;
using testing::TempDir;
using testing::write_counting_corpus;

TEST(Corpus, reads_tokens_and_documents_across_shards) {
  TempDir dir;
  write_counting_corpus(dir, 1003, 10, 35);
  const Corpus corpus = Corpus::open(dir.path().string());
  EXPECT_GT(corpus.manifest().split(Split::train).shards.size(), 20u);
  EXPECT_EQ(corpus.manifest().split(Split::train).text_bytes, 4012u);
  for (const uint64_t first : {0, 1, 39, 40, 41, 500}) {
    std::vector<int32_t> ids(503);
    corpus.copy(Split::train, first, ids);
    for (size_t i = 0; i < ids.size(); ++i) ASSERT_EQ(ids[i], static_cast<int32_t>(first + i));
  }
  for (uint64_t d = 0; d < corpus.documents(Split::train); ++d) {
    const auto ids = corpus.document(Split::train, d);
    ASSERT_EQ(ids.size(), d == 100 ? 3u : 10u);
    EXPECT_EQ(ids.front(), static_cast<int32_t>(d * 10));
  }
  std::vector<int32_t> ids(4);
  EXPECT_TRUE(fails_with("outside", [&] { corpus.copy(Split::train, 1000, ids); }));
  EXPECT_TRUE(fails_with("outside", [&] { corpus.document(Split::train, 101); }));
  EXPECT_TRUE(fails_with("outside", [&] { corpus.document(Split::validation, 0); }));
  corpus.verify();
}

TEST(Corpus, a_directory_without_manifest_is_not_a_corpus) {
  TempDir dir;
  EXPECT_TRUE(fails_with("is not a corpus: it has no corpus.json",
                         [&] { Corpus::open(dir.path().string()); }));
}

TEST(Corpus, names_the_part_that_is_missing_or_foreign) {
  TempDir dir, other;
  write_counting_corpus(dir, 1003, 10, 500);
  write_counting_corpus(other, 1003, 11, 500);
  const auto open = [&] { Corpus::open(dir.path().string()); };
  const std::string shard = "train-00001.tokens";
  const std::string good = read_file(dir.file(shard)), foreign = read_file(other.file(shard));
  dir.write(shard, foreign);
  EXPECT_TRUE(fails_with(shard, open));
  std::filesystem::remove(dir.file(shard));
  EXPECT_TRUE(fails_with(shard, open));
  dir.write(shard, good);
  open();
  std::filesystem::remove(dir.file("tokenizer.json"));
  EXPECT_TRUE(fails_with("tokenizer.json is missing", open));
  dir.write("corpus.json", "{\"format\": 3}");
  EXPECT_TRUE(fails_with("corpus.json", open));
  dir.write("corpus.json", "not json");
  EXPECT_TRUE(fails_with("corpus.json is not a corpus manifest", open));
}

TEST(Corpus, refuses_ids_outside_the_vocabulary_of_its_manifest) {
  TempDir dir;
  write_counting_corpus(dir, 1000, 10, 500);
  Manifest manifest = parse_manifest(read_file(dir.file("corpus.json")), "m");
  EXPECT_EQ(to_json(manifest), read_file(dir.file("corpus.json")));
  manifest.vocabulary = 999;
  dir.write("corpus.json", to_json(manifest));
  EXPECT_TRUE(
      fails_with("outside the vocabulary of 999", [&] { Corpus::open(dir.path().string()); }));
}

// Documents of three tokens, four to a shard, each from where `source` says.
void write_corpus_from(const TempDir& dir, const std::function<std::string(uint32_t)>& source) {
  Manifest manifest;
  manifest.tokenizer_file = "tokenizer.json";
  manifest.tokenizer_fingerprint = "f";
  manifest.vocabulary = 10;
  dir.write(manifest.tokenizer_file, "{}");
  CorpusWriter writer(dir.path().string(), manifest, {.documents = 4});
  for (uint32_t d = 0; d < 11; ++d)
    writer.add(Split::train, std::vector<uint32_t>{1, 2, 3}, 12, source(d));
  writer.add(Split::validation, std::vector<uint32_t>{1, 2, 3}, 12, source(11));
  dir.write(manifest_file, to_json(writer.finish()));
}

// All but those of the second shard say where they came from.
std::string some_sources(uint32_t d) {
  return d / 4 == 1 ? "" : fmt::format("http://a.example/{}", d);
}

TEST(Corpus, says_where_its_documents_came_from_as_far_as_it_is_known) {
  const TempDir dir;
  write_corpus_from(dir, some_sources);
  const Corpus corpus = Corpus::open(dir.path().string());
  for (uint32_t d = 0; d < 11; ++d) EXPECT_EQ(corpus.source(Split::train, d), some_sources(d));
  EXPECT_EQ(corpus.source(Split::validation, 0), "http://a.example/11");
  EXPECT_TRUE(corpus.has_sources(Split::train));
  EXPECT_TRUE(fails_with("outside", [&] { corpus.source(Split::train, 11); }));
  EXPECT_FALSE(std::filesystem::exists(dir.file("train-00001.sources")));
  EXPECT_EQ(to_json(corpus.manifest()), read_file(dir.file("corpus.json")));
  corpus.verify();

  const TempDir silent;
  write_corpus_from(silent, [](uint32_t) { return ""; });
  const Corpus unknown = Corpus::open(silent.path().string());
  EXPECT_FALSE(unknown.has_sources(Split::train));
  EXPECT_EQ(unknown.source(Split::train, 3), "");
  EXPECT_EQ(read_file(silent.file("corpus.json")).find("\"sources\": {"), std::string::npos)
      << "what was written before is written as it was";
  unknown.verify();
}

TEST(Corpus, names_a_file_of_sources_that_is_missing_foreign_or_damaged_and_trains_without) {
  const TempDir dir;
  write_corpus_from(dir, some_sources);
  const auto expect_named = [&](const std::string& what, const std::string& file) {
    const Corpus corpus = Corpus::open(dir.path().string());
    std::vector<int32_t> ids(33);
    corpus.copy(Split::train, 0, ids);
    EXPECT_TRUE(fails_with(file, [&] { corpus.source(Split::train, 9); })) << what;
    EXPECT_TRUE(fails_with(file, [&] { corpus.verify(); })) << what;
    EXPECT_EQ(corpus.source(Split::train, 0), "http://a.example/0") << what;
  };
  const std::string file = "train-00002.sources", good = read_file(dir.file(file));
  std::string bad = good;
  bad[60] ^= 1;
  dir.write(file, bad);
  expect_named("damaged", file + ": block 0");
  dir.write(file, read_file(dir.file("train-00000.sources")));
  expect_named("foreign", file + " is not the file that corpus.json describes");
  std::filesystem::remove(dir.file(file));
  expect_named("missing", file);
}

}  // namespace
}  // namespace katman
