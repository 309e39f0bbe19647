#include "data_pipeline/corpus/megatron.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data_pipeline/build.h"
#include "data_pipeline/corpus/corpus.h"
#include "data_pipeline/exchange.h"
#include "tests/support/pages.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman {
namespace {

using testing::fails_with;
using testing::read_file;
using testing::TempDir;

template <class T>
void append(std::string& bytes, T number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

TEST(Megatron, the_files_are_to_the_byte_what_its_own_tools_write) {
  const TempDir dir;
  MegatronWriter writer(dir.file("a"), 50257);
  writer.add(std::vector<int32_t>{7, 50256});
  writer.add(std::vector<int32_t>{258});
  writer.finish();
  EXPECT_EQ(read_file(dir.file("a.bin")), std::string("\x07\x00\x50\xc4\x02\x01", 6));
  std::string index("MMIDIDX\0\0", 9);
  append<uint64_t>(index, 1);  // version
  append<uint8_t>(index, 8);   // uint16
  append<uint64_t>(index, 2);  // sequences
  append<uint64_t>(index, 3);  // documents and one
  for (const int32_t length : {2, 1}) append(index, length);
  for (const int64_t begin : {0, 4}) append(index, begin);
  for (const int64_t start : {0, 1, 2}) append(index, start);
  EXPECT_EQ(read_file(dir.file("a.idx")), index);
}

TEST(Megatron, reads_every_type_of_id_and_documents_of_many_sequences) {
  const TempDir dir;
  const std::vector<std::vector<uint32_t>> want = {{1, 2, 3}, {}, {4}};
  const auto check = [&](uint8_t code, auto type) {
    std::string ids, index("MMIDIDX\0\0", 9);
    for (const int id : {1, 2, 3, 4}) append(ids, static_cast<decltype(type)>(id));
    append<uint64_t>(index, 1);
    append(index, code);
    append<uint64_t>(index, 3);
    append<uint64_t>(index, 4);
    for (const int32_t length : {2, 1, 1}) append(index, length);
    for (const int64_t begin : {0, 2, 3}) append<int64_t>(index, begin * int64_t{sizeof type});
    for (const int64_t start : {0, 2, 2, 3}) append(index, start);
    dir.write("a.bin", ids);
    dir.write("a.idx", index);
    const MegatronReader reader(dir.file("a"));
    ASSERT_EQ(reader.documents(), 3u);
    for (uint64_t d = 0; d < 3; ++d) EXPECT_EQ(reader.document(d, 5), want[d]) << int{code};
    EXPECT_TRUE(fails_with("a.bin: document 2 has token 4", [&] { reader.document(2, 4); }));
  };
  check(1, uint8_t{}), check(2, int8_t{}), check(3, int16_t{}), check(4, int32_t{});
  check(5, int64_t{}), check(8, uint16_t{});
}

TEST(Megatron, damage_to_the_index_is_named_or_harmless) {
  const TempDir dir;
  MegatronWriter writer(dir.file("a"), 300);
  for (int32_t d = 0; d < 20; ++d) writer.add(std::vector<int32_t>(static_cast<size_t>(d), d));
  writer.finish();
  const std::string good = read_file(dir.file("a.idx"));
  dir.write("b.bin", read_file(dir.file("a.bin")));
  for (size_t at = 0; at < good.size(); ++at)
    for (const char flip : {'\x01', '\x80'}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      dir.write("b.idx", bad);
      try {
        const MegatronReader reader(dir.file("b"));
        for (uint64_t d = 0; d < reader.documents(); ++d) reader.document(d, 300);
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(dir.file("b")), std::string::npos) << error.what();
      }
    }
  for (const size_t size : {size_t{0}, size_t{10}, good.size() - 1}) {
    dir.write("b.idx", good.substr(0, size));
    EXPECT_TRUE(fails_with("b.idx", [&] { MegatronReader reader(dir.file("b")); }));
  }
}

TEST(Megatron, a_corpus_goes_out_and_comes_back_with_the_same_documents) {
  const TempDir dir;
  std::string lines;
  for (uint64_t i = 0; i < 40; ++i)
    lines += nlohmann::json{{"text", testing::prose(i)}}.dump() + "\n";
  BuildOptions options;
  options.inputs = {dir.write("a.jsonl", lines)};
  options.out = dir.file("corpus");
  options.vocabulary = 400;
  Progress progress;
  build_corpus(options, progress);
  export_megatron(dir.file("corpus"), dir.file("out"), progress);
  const Manifest manifest = import_megatron({.prefix = dir.file("out/train"),
                                             .tokenizer = dir.file("out/tokenizer.json"),
                                             .out = dir.file("back"),
                                             .validation = 0.2},
                                            progress);
  const Corpus there = Corpus::open(dir.file("corpus")), back = Corpus::open(dir.file("back"));
  EXPECT_EQ(manifest.tokenizer_fingerprint, there.manifest().tokenizer_fingerprint);
  std::vector<std::vector<int32_t>> want, got;
  for (uint64_t d = 0; d < there.documents(Split::train); ++d)
    want.push_back(there.document(Split::train, d));
  for (const Split split : all_splits)
    for (uint64_t d = 0; d < back.documents(split); ++d) got.push_back(back.document(split, d));
  std::ranges::sort(want);
  std::ranges::sort(got);
  EXPECT_EQ(got, want);
  EXPECT_EQ(there.source(Split::train, 0).find("a.jsonl:"), 0u);
  EXPECT_FALSE(back.has_sources(Split::train)) << "that format does not say it";
  EXPECT_EQ(manifest.split(Split::train).text_bytes + manifest.split(Split::validation).text_bytes,
            there.manifest().split(Split::train).text_bytes);
}

}  // namespace
}  // namespace katman
