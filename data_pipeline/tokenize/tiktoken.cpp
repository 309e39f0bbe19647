// The .tiktoken file: a line per token, its bytes in base64 and its rank, which is also its id.
#include <algorithm>
#include <array>
#include <map>

#include "core/error.h"
#include "data_pipeline/tokenize/model.h"

namespace katman {
namespace {

std::string decode_base64(std::string_view text) {
  static const auto values = [] {
    std::array<int8_t, 256> v;
    v.fill(-1);
    const std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < digits.size(); ++i)
      v[static_cast<uint8_t>(digits[i])] = static_cast<int8_t>(i);
    return v;
  }();
  std::string_view digits = text;
  for (int i = 0; i < 2 && digits.ends_with('='); ++i) digits.remove_suffix(1);
  std::string bytes;
  uint32_t buffer = 0;
  int bits = 0;
  for (char c : digits) {
    const int value = values[static_cast<uint8_t>(c)];
    require(value >= 0, "\"{}\" is not base64", text);
    buffer = buffer << 6 | static_cast<uint32_t>(value);
    if ((bits += 6) >= 8) bytes += static_cast<char>(buffer >> (bits -= 8));
  }
  return bytes;
}

void read_line(std::string_view line, TokenizerParts& parts) {
  const size_t space = line.find(' ');
  require(space != std::string_view::npos, "the line \"{}\" is not base64, a space and a rank",
          line);
  uint64_t rank = 0;
  for (char c : line.substr(space + 1)) {
    require(c >= '0' && c <= '9' && rank < MergeTable::max_ids,
            "the rank in \"{}\" is not a number", line);
    rank = rank * 10 + static_cast<uint64_t>(c - '0');
  }
  require(rank < MergeTable::max_ids, "the rank in \"{}\" is too large", line);
  if (rank >= parts.tokens.size()) parts.tokens.resize(rank + 1);
  require(parts.tokens[rank].empty(), "the rank {} is there twice", rank);
  parts.tokens[rank] = decode_base64(line.substr(0, space));
  require(!parts.tokens[rank].empty(), "the token of rank {} is empty", rank);
}

// tiktoken joins any two neighbours that together are a token, the token of lowest rank first. As
// merges: every way to split each token into two tokens, in the order of the tokens.
std::vector<Merge> merges_of_ranks(const std::vector<std::string>& tokens) {
  std::unordered_map<std::string_view, uint32_t> ids;
  for (uint32_t id = 0; id < tokens.size(); ++id)
    if (!tokens[id].empty()) ids.emplace(tokens[id], id);
  std::vector<Merge> merges;
  for (uint32_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    std::map<uint32_t, uint32_t> splits;  // left id -> right id
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ids.find(token.substr(0, cut)), right = ids.find(token.substr(cut));
      if (left != ids.end() && right != ids.end()) splits[left->second] = right->second;
    }
    for (const auto& [left, right] : splits) merges.push_back({left, right, id});
  }
  return merges;
}

// The file does not name its special tokens. In the published vocabularies, which are told by
// their size, <|endoftext|> is not always the next free id.
uint32_t end_of_text_id(size_t tokens) {
  if (tokens == 100256) return 100257;  // cl100k_base
  if (tokens == 199998) return 199999;  // o200k_base
  return static_cast<uint32_t>(tokens);
}

}  // namespace

TokenizerParts parts_of_tiktoken(std::string_view text, Pattern pattern) {
  TokenizerParts parts;
  parts.pattern = pattern;
  parts.whole_piece_first = true;
  while (!text.empty()) {
    const size_t size = std::min(text.find('\n'), text.size());
    if (size > 0) read_line(text.substr(0, size), parts);
    text.remove_prefix(std::min(size + 1, text.size()));
  }
  parts.merges = merges_of_ranks(parts.tokens);
  parts.specials.push_back({"<|endoftext|>", end_of_text_id(parts.tokens.size())});
  return parts;
}

}  // namespace katman
