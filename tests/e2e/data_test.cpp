// The program itself: `katman data` on input that is larger, longer or worse than anyone wants.
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

}  // namespace
}  // namespace katman::testing
