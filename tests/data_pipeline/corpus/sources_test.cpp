#include "data_pipeline/corpus/sources.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <cstddef>
#include <cstring>
#include <filesystem>

#include "core/random.h"
#include "data_pipeline/corpus/hash.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman {
namespace {

using testing::fails_with;
using testing::read_file;
using testing::TempDir;

constexpr uint64_t header_bytes = 56;

// Addresses of all lengths, every fifth not known, the seventh as long as one may be.
std::vector<std::string> some_sources(size_t count) {
  std::vector<std::string> sources;
  for (size_t d = 0; d < count; ++d) {
    const uint64_t number = random_bits(Key(count), d);
    sources.push_back(d % 5 == 4 ? ""
                      : d == 7   ? std::string(max_source_bytes, 'x')
                                 : fmt::format("http://{}.example/é/{}", number % 97, number));
  }
  return sources;
}

void write(const std::string& path, const std::vector<std::string>& sources) {
  SourcesWriter writer(path);
  for (const std::string& source : sources) writer.add(source);
  writer.finish();
}

TEST(Sources, gives_back_what_was_written_at_every_edge_of_a_block) {
  const TempDir dir;
  for (const size_t count : {1, 2, 255, 256, 257, 511, 512, 513, 2000}) {
    const auto sources = some_sources(count);
    write(dir.file("a"), sources);
    const Sources read(dir.file("a"));
    ASSERT_EQ(read.documents(), count);
    for (size_t d = 0; d < count; ++d) ASSERT_EQ(read.of(d), sources[d]) << d << " of " << count;
    EXPECT_TRUE(fails_with("is outside the", [&] { read.of(count); }));
    read.verify();
  }
}

TEST(Sources, is_a_list_of_lines_to_any_program_that_reads_zstd) {
  const TempDir dir;
  const auto sources = some_sources(600);
  write(dir.file("a"), sources);
  std::string expected;
  for (const std::string& source : sources) expected += source + "\n";
  const std::string packed = read_file(dir.file("a"));
  EXPECT_LT(packed.size(), expected.size() / 2);
  std::string lines(2 * expected.size(), '\0');
  const size_t n = ZSTD_decompress(lines.data(), lines.size(), packed.data(), packed.size());
  ASSERT_FALSE(ZSTD_isError(n)) << ZSTD_getErrorName(n);
  EXPECT_EQ(lines.substr(0, n), expected);
}

TEST(Sources, knows_whether_any_is_known_and_takes_only_lines) {
  const TempDir dir;
  SourcesWriter writer(dir.file("a"));
  writer.add("");
  EXPECT_FALSE(writer.any());
  writer.add("a.html");
  writer.add("");
  EXPECT_TRUE(writer.any());
  EXPECT_TRUE(fails_with("the source of document 3", [&] { writer.add("two\nlines"); }));
  EXPECT_TRUE(fails_with("at most 2048", [&] { writer.add(std::string(2049, 'x')); }));
}

TEST(Sources, appears_whole_or_not_at_all) {
  const TempDir dir;
  {
    SourcesWriter writer(dir.file("a"));
    for (const std::string& source : some_sources(1000)) writer.add(source);
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "an abandoned file leaves nothing";
}

TEST(Sources, a_flipped_bit_anywhere_is_found_and_named) {
  const TempDir dir;
  write(dir.file("a"), some_sources(1000));
  const std::string good = read_file(dir.file("a"));
  const uint64_t table = good.size() - 4 * 16 - 8;
  for (uint64_t at = 0; at < good.size(); at += at < 2 * header_bytes || at > table - 20 ? 1 : 37) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    dir.write("b", bad);
    if (at < header_bytes || at >= table) {
      EXPECT_TRUE(fails_with(dir.file("b"), [&] { Sources read(dir.file("b")); })) << at;
      continue;
    }
    const Sources read(dir.file("b"));
    EXPECT_TRUE(fails_with(dir.file("b: block "), [&] { read.verify(); })) << at;
  }
  std::string bad = good;
  bad[header_bytes + 3] ^= 1;
  const Sources read(dir.write("b", bad));
  EXPECT_TRUE(fails_with("block 0 (bytes 56 to", [&] { read.of(255); }));
  EXPECT_EQ(read.of(256), some_sources(1000)[256]) << "the rest is as good as it was";
}

TEST(Sources, a_file_that_is_cut_or_foreign_is_refused) {
  const TempDir dir;
  write(dir.file("a"), some_sources(300));
  const std::string good = read_file(dir.file("a"));
  for (const size_t size : {size_t{0}, size_t{55}, size_t{56}, good.size() - 1})
    EXPECT_TRUE(fails_with(dir.file("b"), [&] { Sources s(dir.write("b", good.substr(0, size))); }))
        << size;
  EXPECT_TRUE(fails_with("promises", [&] { Sources s(dir.write("b", good + "x")); }));
  EXPECT_TRUE(fails_with("is not a file of sources",
                         [&] { Sources s(dir.write("b", std::string(5000, 'x'))); }));
  EXPECT_TRUE(fails_with("cannot open", [&] { Sources s(dir.file("missing")); }));
}

TEST(Sources, a_header_that_contradicts_itself_is_refused_though_its_checksum_is_right) {
  const TempDir dir;
  write(dir.file("a"), some_sources(1000));
  const std::string good = read_file(dir.file("a"));
  const auto expect_refused = [&](const auto field, uint64_t value) {
    SourcesHeader header;
    std::memcpy(&header, good.data(), sizeof header);
    header.*field = static_cast<std::decay_t<decltype(header.*field)>>(value);
    header.checksum = hash64(&header, offsetof(SourcesHeader, checksum));
    std::string bad = good;
    std::memcpy(bad.data(), &header, sizeof header);
    EXPECT_TRUE(fails_with(dir.file("b"), [&] { Sources(dir.write("b", bad)).verify(); })) << value;
  };
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{1}, uint64_t{900}, uint64_t{5000}, UINT64_MAX / 2, UINT64_MAX}) {
    expect_refused(&SourcesHeader::documents, value);
    expect_refused(&SourcesHeader::table_offset, value);
    expect_refused(&SourcesHeader::block_documents, value);
  }
}

}  // namespace
}  // namespace katman
