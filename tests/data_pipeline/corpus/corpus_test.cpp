#include "data_pipeline/corpus/corpus.h"

#include <gtest/gtest.h>

#include <filesystem>

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

}  // namespace
}  // namespace katman
