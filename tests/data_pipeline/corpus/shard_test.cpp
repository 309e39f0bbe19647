#include "data_pipeline/corpus/shard.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "core/random.h"
#include "data_pipeline/corpus/hash.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman {
namespace {

using testing::fails_with;
using testing::read_file;
using testing::TempDir;
using Documents = std::vector<std::vector<uint32_t>>;

Documents random_documents(size_t count, size_t longest, uint32_t vocabulary) {
  const Key key(count);
  uint64_t at = 0;
  Documents documents(count);
  for (auto& document : documents) {
    document.resize(random_bits(key, at++) % (longest + 1));
    for (auto& id : document) id = static_cast<uint32_t>(random_bits(key, at++) % vocabulary);
  }
  return documents;
}

void write(const std::string& path, const Documents& documents, uint64_t vocabulary) {
  ShardWriter writer(path, vocabulary, "some tokenizer");
  for (const auto& document : documents) writer.add(document);
  writer.finish();
}

void expect_equal(const Shard& shard, const Documents& documents) {
  ASSERT_EQ(shard.documents(), documents.size());
  for (size_t d = 0; d < documents.size(); ++d) {
    std::vector<int32_t> ids(shard.document_end(d) - shard.document_begin(d));
    shard.copy(shard.document_begin(d), ids);
    EXPECT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), documents[d]) << "document " << d;
  }
}

TEST(Shard, gives_back_what_was_written_in_two_and_in_four_bytes) {
  TempDir dir;
  for (const uint32_t vocabulary : {300u, 65536u, 65537u, 1u << 31}) {
    const auto documents = random_documents(50, 100, vocabulary);
    write(dir.file("a"), documents, vocabulary);
    const Shard shard(dir.file("a"));
    EXPECT_EQ(shard.token_bytes(), vocabulary <= 65536 ? 2u : 4u);
    EXPECT_EQ(shard.tokenizer_fingerprint(), "some tokenizer");
    uint32_t largest = 0;
    for (const auto& document : documents)
      for (const uint32_t id : document) largest = std::max(largest, id);
    EXPECT_EQ(shard.largest_id(), largest);
    expect_equal(shard, documents);
    shard.verify();
  }
}

TEST(Shard, may_be_empty_and_may_hold_empty_documents) {
  TempDir dir;
  for (const Documents& documents : {Documents{}, Documents{{}, {}, {1}, {}}}) {
    write(dir.file("a"), documents, 10);
    const Shard shard(dir.file("a"));
    expect_equal(shard, documents);
    shard.verify();
  }
}

TEST(Shard, spans_many_blocks) {
  TempDir dir;
  const auto documents = random_documents(200, 20000, 50000);  // about 4 MB
  write(dir.file("a"), documents, 50000);
  const Shard shard(dir.file("a"));
  ASSERT_GT(shard.bytes(), 3u << 20);
  expect_equal(shard, documents);
  shard.verify();
}

TEST(Shard, refuses_an_id_outside_the_vocabulary) {
  TempDir dir;
  ShardWriter writer(dir.file("a"), 100, "t");
  const std::vector<uint32_t> document = {1, 2, 100};
  EXPECT_TRUE(fails_with("token 100 of document 0", [&] { writer.add(document); }));
}

TEST(Shard, appears_whole_or_not_at_all) {
  TempDir dir;
  {
    ShardWriter writer(dir.file("a"), 100, "t");
    writer.add(std::vector<uint32_t>(1 << 20, 7));
    EXPECT_FALSE(std::filesystem::exists(dir.file("a")));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "an abandoned shard leaves nothing";
}

// Every byte of the file is protected: those of the header and the table at opening, the rest when
// they are read, by whoever reads them; the block is named.
TEST(Shard, a_flipped_bit_anywhere_is_found_and_named) {
  TempDir dir;
  write(dir.file("a"), random_documents(100, 30000, 60000), 60000);
  const std::string good = read_file(dir.file("a"));
  const uint64_t table = good.size() - 8 * ((good.size() - 4096) / ((64 << 10) + 8) + 1);
  ASSERT_GT(table, 2u << 20);
  const auto damage = [&](uint64_t at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    return dir.write("b", bad);
  };
  for (const uint64_t at : {0ul, 9ul, 17ul, 40ul, 70ul, 120ul, table, good.size() - 1})
    EXPECT_TRUE(fails_with(dir.file("b"), [&] { Shard shard(damage(at)); })) << "byte " << at;
  for (const uint64_t at : {4096ul, 4096ul + (64 << 10), table - 20}) {
    const Shard shard(damage(at));
    const std::string named = fmt::format("b: block {} ", (at - 4096) >> 16);
    EXPECT_TRUE(fails_with(named, [&] { shard.verify(); }));
    if (at == table - 20) {
      EXPECT_TRUE(fails_with(named, [&] { shard.document_end(shard.documents() - 1); }));
      continue;
    }
    EXPECT_TRUE(fails_with(named, [&] { shard.token((at - 4096) / 2); }));
    shard.token((at - 4096) / 2 + (64 << 10));  // the rest is as good as it was
  }
}

TEST(Shard, a_file_that_is_cut_or_foreign_is_refused) {
  TempDir dir;
  write(dir.file("a"), random_documents(10, 1000, 60000), 60000);
  const std::string good = read_file(dir.file("a"));
  for (const size_t size : {size_t{0}, size_t{100}, size_t{4096}, good.size() - 1})
    EXPECT_TRUE(fails_with(dir.file("b"), [&] { Shard s(dir.write("b", good.substr(0, size))); }))
        << size;
  EXPECT_TRUE(fails_with("promises", [&] { Shard s(dir.write("b", good + "x")); }));
  EXPECT_TRUE(
      fails_with("is not a token shard", [&] { Shard s(dir.write("b", std::string(5000, 'x'))); }));
  EXPECT_TRUE(fails_with("cannot open", [&] { Shard s(dir.file("missing")); }));
}

TEST(Shard, a_header_that_contradicts_itself_is_refused_though_its_checksum_is_right) {
  TempDir dir;
  write(dir.file("a"), random_documents(100, 3000, 60000), 60000);
  const std::string good = read_file(dir.file("a"));
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{5000}, UINT64_MAX / 2, UINT64_MAX})
    for (const auto field :
         {&ShardHeader::tokens, &ShardHeader::documents, &ShardHeader::ends_offset,
          &ShardHeader::table_offset, &ShardHeader::block_bytes}) {
      ShardHeader header;
      std::memcpy(&header, good.data(), sizeof header);
      header.*field = value;
      header.checksum = hash64(&header, offsetof(ShardHeader, checksum));
      std::string bad = good;
      std::memcpy(bad.data(), &header, sizeof header);
      EXPECT_TRUE(fails_with(dir.file("b"), [&] { Shard(dir.write("b", bad)).verify(); })) << value;
    }
}

TEST(Shard, refuses_tokens_beyond_its_end) {
  TempDir dir;
  write(dir.file("a"), {{1, 2, 3}}, 10);
  const Shard shard(dir.file("a"));
  std::vector<int32_t> ids(2);
  shard.copy(1, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{2, 3}));
  EXPECT_TRUE(fails_with("outside the 3 tokens", [&] { shard.copy(2, ids); }));
  EXPECT_TRUE(fails_with("outside the 3 tokens", [&] { shard.copy(UINT64_MAX, ids); }));
}

}  // namespace
}  // namespace katman
