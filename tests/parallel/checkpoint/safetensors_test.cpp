#include "parallel/checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "core/random.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

std::string file_with_head(const std::string& json, size_t data_bytes) {
  const uint64_t length = json.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + json + std::string(data_bytes, 'x');
}

// The sentence with which these bytes are refused; empty when they are read.
std::string refusal(const TempDir& dir, const std::string& bytes) {
  const FileReader file(dir.write("model.safetensors", bytes));
  try {
    read_safetensors_head(file);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Safetensors, a_head_that_was_written_is_read_again) {
  const TempDir dir;
  const std::string head = safetensors_head(
      {{"b", "F32", {2, 3}, 0, 0}, {"a", "BF16", {4}, 0, 0}, {"empty", "I64", {0, 9}, 0, 0}},
      {{"format", "pt"}});
  EXPECT_EQ(head.size() % 64, 0u);
  const FileReader file(dir.write("x", head + std::string(32, 'x')));
  const SafeTensorsHead read = read_safetensors_head(file);
  EXPECT_EQ(read.bytes, static_cast<int64_t>(head.size()));
  EXPECT_EQ(read.metadata.at("format"), "pt");
  ASSERT_EQ(read.tensors.size(), 3u);
  EXPECT_EQ(read.find("b")->offset, 0);
  EXPECT_EQ(read.find("a")->offset, 24);
  EXPECT_EQ(read.find("a")->bytes, 8);
  EXPECT_EQ(read.find("a")->shape, (std::vector<int64_t>{4}));
  EXPECT_EQ(read.find("c"), nullptr);
}

TEST(Safetensors, what_is_wrong_is_refused_in_one_sentence_that_names_the_file) {
  const TempDir dir;
  const auto tensor = [](const std::string& rest) { return "{\"a\":{" + rest + "}}"; };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "cut short"},
      {"\x05\x00\x00", "cut short"},
      {std::string(8, '\xff'), "head would take"},
      {file_with_head("{}", 0).substr(0, 9), "head would take"},
      {file_with_head("not json", 0), "not a JSON object"},
      {file_with_head("[1]", 0), "not a JSON object"},
      {file_with_head(std::string(200000, '['), 0), "not a JSON object"},
      {file_with_head("{\"a\":1}", 0), "no dtype"},
      {file_with_head(tensor(R"("dtype":"F32")"), 0), "no shape"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), 4), "no shape"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])"), 4),
       "no shape"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), 4),
       "no data_offsets"},
      {file_with_head(tensor(R"("dtype":"Q4","shape":[1],"data_offsets":[0,4])"), 4),
       "unknown dtype"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), 4),
       "does not fit its data_offsets"},
      {file_with_head(
           tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])"), 4),
       "does not fit its data_offsets"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), 4),
       "does not fit its data_offsets"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), 4), "cut short"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), 8), "damaged"},
      {file_with_head(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), 8),
       "begins at byte 4"},
      {file_with_head(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                      12),
       "begins at byte 4"},
      {file_with_head(R"({"__metadata__":{"x":1}})", 0), "__metadata__"},
      {file_with_head(R"({"__metadata__":"x"})", 0), "__metadata__"},
  };
  for (const auto& [bytes, expected] : cases) {
    const std::string sentence = refusal(dir, bytes);
    EXPECT_NE(sentence.find(expected), std::string::npos) << "got: " << sentence;
    EXPECT_NE(sentence.find("model.safetensors"), std::string::npos) << sentence;
    EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
  }
}

TEST(Safetensors, random_damage_to_the_head_is_refused_or_harmless) {
  const TempDir dir;
  const std::string whole =
      safetensors_head({{"a", "F32", {2, 2}, 0, 0}, {"b", "U8", {3}, 0, 0}}, {{"k", "v"}}) +
      std::string(19, 'x');
  const Key key(1);
  int refused = 0;
  for (uint64_t i = 0; i < 600; ++i) {
    std::string bytes = whole;
    for (uint64_t flips = 0; flips <= i % 3; ++flips) {
      const uint64_t bits = random_bits(key.at(i), flips);
      bytes[bits % bytes.size()] = static_cast<char>(bits >> 40);
    }
    if (i % 7 == 0) bytes.resize(random_bits(key, i) % bytes.size());
    refused += !refusal(dir, bytes).empty();
  }
  EXPECT_GT(refused, 200);
}

}  // namespace
}  // namespace katman::testing
