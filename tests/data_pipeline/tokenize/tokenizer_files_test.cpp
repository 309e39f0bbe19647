#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data_pipeline/tokenize/byte_alphabet.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "tests/data_pipeline/tokenize/small_tokenizer.h"
#include "tests/support/temp_dir.h"

namespace katman {
namespace {
using nlohmann::json;
using testing::ids_of;
using testing::small_corpus;
using testing::small_tokenizer;
using testing::TempDir;

json saved(const Tokenizer& tokenizer) {
  const TempDir dir;
  tokenizer.save(dir.file("tokenizer.json"));
  return json::parse(testing::read_file(dir.path() / "tokenizer.json"));
}

Tokenizer loaded(const json& file) {
  const TempDir dir;
  return Tokenizer::load(dir.write("tokenizer.json", file.dump()));
}

// Loading the file must fail with one line that contains `words`.
void expect_refused(const json& file, const std::string& words) {
  try {
    loaded(file);
    FAIL() << "loaded although: " << words;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(words), std::string::npos) << message;
    EXPECT_NE(message.find("tokenizer.json"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(TokenizerFiles, saving_and_loading_keeps_everything_that_decides_the_ids) {
  for (Pattern pattern : all_patterns) {
    const Tokenizer tokenizer = small_tokenizer(pattern);
    const Tokenizer again = loaded(saved(tokenizer));
    EXPECT_EQ(again.fingerprint(), tokenizer.fingerprint());
    EXPECT_EQ(again.parts().pattern, pattern);
    EXPECT_EQ(again.end_of_document(), 0u);
    EXPECT_EQ(ids_of(again, small_corpus()), ids_of(tokenizer, small_corpus()));
  }
}

TEST(TokenizerFiles, the_fingerprint_tells_tokenizers_apart) {
  const std::string base = small_tokenizer().fingerprint();
  EXPECT_EQ(base, small_tokenizer().fingerprint());
  EXPECT_EQ(base.size(), 32u);
  EXPECT_NE(base, small_tokenizer(Pattern::llama3).fingerprint());
  EXPECT_NE(base, small_tokenizer(Pattern::gpt2, 359).fingerprint());
}

TEST(TokenizerFiles, merges_are_read_in_both_spellings) {
  json file = saved(small_tokenizer());
  for (json& merge : file["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  EXPECT_EQ(loaded(file).fingerprint(), small_tokenizer().fingerprint());
}

TEST(TokenizerFiles, vocab_json_and_merges_txt_make_the_same_tokenizer) {
  const json file = saved(small_tokenizer());
  std::string merges = "#version: 0.2\n";
  for (const json& merge : file["model"]["merges"])
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  const TempDir dir;
  dir.write("vocab.json", file["model"]["vocab"].dump());
  dir.write("merges.txt", merges);
  EXPECT_EQ(Tokenizer::load(dir.path().string()).fingerprint(), small_tokenizer().fingerprint());
}

TEST(TokenizerFiles, a_tiktoken_file_merges_by_rank_and_takes_whole_pieces_first) {
  std::string ranks;
  const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int b = 0; b < 256; ++b)
    ranks += std::string{digits[b >> 2], digits[b << 4 & 63], '=', '='} + fmt::format(" {}\n", b);
  ranks += "YWI= 256\nYmM= 257\nYWJj 258\nYmNk 259\n";  // ab bc abc bcd
  const TempDir dir;
  const std::string path = dir.write("some.tiktoken", ranks);
  const Tokenizer tokenizer = Tokenizer::load(path, Pattern::llama3);
  EXPECT_EQ(ids_of(tokenizer, "abc"), (std::vector<uint32_t>{258}));
  EXPECT_EQ(ids_of(tokenizer, "abcd"), (std::vector<uint32_t>{258, 'd'}));
  // By merges alone " bcd" could not become " " + bcd: no, but bc + d is a way to split it.
  EXPECT_EQ(ids_of(tokenizer, "xbcd"), (std::vector<uint32_t>{'x', 259}));
  EXPECT_EQ(tokenizer.end_of_document(), 260u);
  EXPECT_EQ(tokenizer.vocabulary(), 261u);
  EXPECT_THROW(Tokenizer::load(path), Error) << "the pattern has to be named";
  EXPECT_EQ(loaded(saved(tokenizer)).fingerprint(), tokenizer.fingerprint());
}

TEST(TokenizerFiles, what_would_change_the_ids_and_is_not_supported_is_refused) {
  const json good = saved(small_tokenizer());
  const auto with = [&](const char* pointer, const json& value) {
    json file = good;
    file[json::json_pointer(pointer)] = value;
    return file;
  };
  expect_refused(with("/normalizer", {{"type", "NFC"}}), "normalizer");
  expect_refused(with("/truncation", {{"max_length", 5}}), "truncation");
  expect_refused(with("/pre_tokenizer/add_prefix_space", true), "add_prefix_space");
  expect_refused(with("/pre_tokenizer/type", "Whitespace"), "Whitespace");
  expect_refused(with("/pre_tokenizer", nullptr), "pre_tokenizer");
  expect_refused(with("/decoder/type", "WordPiece"), "decoder");
  expect_refused(with("/model/type", "Unigram"), "Unigram");
  expect_refused(with("/model/dropout", 0.1), "dropout");
  expect_refused(with("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  expect_refused(with("/added_tokens/0/special", false), "not special");
  json split = saved(small_tokenizer(Pattern::llama3));
  split["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+";
  expect_refused(split, "\\w+");
}

TEST(TokenizerFiles, a_malformed_file_gives_one_sentence) {
  const json good = saved(small_tokenizer());
  const auto broken = [&](const std::function<void(json&)>& how) {
    json file = good;
    how(file);
    return file;
  };
  expect_refused(json::array(), "no model");
  expect_refused(broken([](json& f) { f["model"].erase("vocab"); }), "vocab");
  expect_refused(broken([](json& f) { f["model"]["vocab"]["zz"] = -1; }), "\"zz\"");
  expect_refused(broken([](json& f) { f["model"]["vocab"]["zz"] = 1u << 30; }), "\"zz\"");
  expect_refused(broken([](json& f) { f["model"]["vocab"]["z z"] = 999; }), "alphabet");
  expect_refused(broken([](json& f) { f["model"]["vocab"]["zz"] = 300; }), "which another one has");
  expect_refused(broken([](json& f) { f["model"]["vocab"].erase("~"); }), "0x7e");
  expect_refused(broken([](json& f) { f["model"]["merges"].push_back("a b c"); }), "a b c");
  expect_refused(broken([](json& f) { f["model"]["merges"].push_back({"q", "zz"}); }), "\"zz\"");
  expect_refused(broken([](json& f) { f["model"]["merges"].push_back(5); }), "merge");
  expect_refused(broken([](json& f) { f["added_tokens"][0].erase("id"); }), "id");
  const TempDir dir;
  for (const std::string bytes : {"", "{", "{\"model\": \xff}", "[[[[[["})
    EXPECT_THROW(Tokenizer::load(dir.write("tokenizer.json", bytes)), Error) << bytes;
  EXPECT_THROW(Tokenizer::load(dir.file("missing.json")), Error);
  EXPECT_THROW(Tokenizer::load(dir.write("bad.tiktoken", "!!!! 0\n"), Pattern::llama3), Error);
}

TEST(TokenizerFiles, every_byte_has_its_own_visible_spelling) {
  EXPECT_EQ(spell_bytes(" \n!"), "\xc4\xa0\xc4\x8a!");
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  EXPECT_EQ(unspell_bytes(spell_bytes(all)), all);
  EXPECT_EQ(unspell_bytes("a b"), std::nullopt);
  EXPECT_EQ(unspell_bytes("\xe4\xbd\xa0"), std::nullopt);
  EXPECT_EQ(bytes_in_alphabet_order()[0], '!');
  EXPECT_EQ(bytes_in_alphabet_order()[255], 0xad);
}

TEST(TokenizerFiles, an_id_that_no_token_has_is_an_error_to_decode) {
  EXPECT_THROW(small_tokenizer().decode(std::vector<uint32_t>{100000}), Error);
  EXPECT_EQ(small_tokenizer().bytes(100000), "");
}

}  // namespace
}  // namespace katman
