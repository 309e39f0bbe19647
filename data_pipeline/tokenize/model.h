// What a Tokenizer holds and its Encoders read. Only the tokenizer's own sources include this.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>

#include "data_pipeline/tokenize/tokenizer.h"

namespace katman {

struct Tokenizer::Model {
  explicit Model(TokenizerParts checked) : parts(std::move(checked)), merges(parts.merges) {}

  TokenizerParts parts;  // tokens[id] is set for special tokens too: their name
  MergeTable merges;
  std::array<uint32_t, 256> byte_ids;
  // Tokens by their bytes, special ones excluded. Views into parts.tokens.
  std::unordered_map<std::string_view, uint32_t> ids;
};

// The readers of the file formats. Each throws Error with a sentence that does not name the file.
TokenizerParts parts_of_json(const std::string& text);
std::string json_of_parts(const TokenizerParts& parts);
TokenizerParts parts_of_vocab_and_merges(const std::string& vocab_json, std::string_view merges_txt,
                                         Pattern pattern);
TokenizerParts parts_of_tiktoken(std::string_view text, Pattern pattern);

}  // namespace katman
