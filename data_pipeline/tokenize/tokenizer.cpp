#include "data_pipeline/tokenize/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "data_pipeline/tokenize/model.h"
#include "data_pipeline/tokenize/unicode.h"
#include "xxhash.h"

namespace katman {
namespace {
namespace fs = std::filesystem;

// Gives special tokens their place among the tokens, and checks that there is room for them.
void place_specials(TokenizerParts& parts) {
  for (const SpecialToken& special : parts.specials) {
    require(special.id < MergeTable::max_ids, "the special token {} has id {}; ids go up to {}",
            special.name, special.id, MergeTable::max_ids - 1);
    require(!special.name.empty(), "the special token {} has no name", special.id);
    if (special.id >= parts.tokens.size()) parts.tokens.resize(special.id + 1);
    std::string& place = parts.tokens[special.id];
    require(place.empty() || place == special.name,
            "id {} is both the token \"{}\" and the special token {}", special.id, place,
            special.name);
    place = special.name;
  }
}

void check_merges(const TokenizerParts& parts) {
  for (size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const auto [left, right, result] = parts.merges[rank];
    const size_t n = parts.tokens.size();
    require(left < n && right < n && result < n, "merge {} uses an id that no token has", rank);
    require(parts.tokens[left] + parts.tokens[right] == parts.tokens[result],
            "merge {} joins \"{}\" and \"{}\" to something else: \"{}\"", rank, parts.tokens[left],
            parts.tokens[right], parts.tokens[result]);
  }
}

std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  require(in.is_open(), "cannot open it");
  std::string text{std::istreambuf_iterator<char>(in), {}};
  require(!in.bad(), "cannot read it");
  return text;
}

TokenizerParts parts_of_path(const fs::path& path, std::optional<Pattern> pattern) {
  if (fs::is_directory(path)) {
    if (fs::exists(path / "tokenizer.json")) return parts_of_path(path / "tokenizer.json", pattern);
    require(fs::exists(path / "vocab.json") && fs::exists(path / "merges.txt"),
            "the folder has neither tokenizer.json nor vocab.json with merges.txt");
    return parts_of_vocab_and_merges(read_all(path / "vocab.json"), read_all(path / "merges.txt"),
                                     pattern.value_or(Pattern::gpt2));
  }
  if (path.extension() == ".tiktoken") {
    require(pattern.has_value(),
            "a .tiktoken file does not say how text is cut into pieces; name the pattern");
    return parts_of_tiktoken(read_all(path), *pattern);
  }
  TokenizerParts parts = parts_of_json(read_all(path));
  require(!pattern || *pattern == parts.pattern, "its pattern is {}, not {} as asked for",
          name_of(parts.pattern), name_of(pattern.value_or(parts.pattern)));
  return parts;
}

// Length-prefixed, so that no two different lists hash the same bytes.
class Hash {
 public:
  Hash() { XXH3_128bits_reset(state_.get()); }
  void number(uint64_t n) { XXH3_128bits_update(state_.get(), &n, sizeof n); }
  void text(std::string_view s) {
    number(s.size());
    XXH3_128bits_update(state_.get(), s.data(), s.size());
  }
  std::string hex() const {
    const XXH128_hash_t digest = XXH3_128bits_digest(state_.get());
    return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_{XXH3_createState()};
};

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts) {
  require(parts.tokens.size() <= MergeTable::max_ids,
          "a tokenizer has {} tokens; at most {} are supported", parts.tokens.size(),
          MergeTable::max_ids);
  place_specials(parts);
  check_merges(parts);
  const auto model = std::make_shared<Model>(std::move(parts));
  std::vector<bool> special(model->parts.tokens.size());
  for (const SpecialToken& token : model->parts.specials) special[token.id] = true;
  for (uint32_t id = 0; id < special.size(); ++id) {
    const std::string& bytes = model->parts.tokens[id];
    if (bytes.empty() || special[id]) continue;
    const auto [other, fresh] = model->ids.emplace(bytes, id);
    require(fresh, "the ids {} and {} are the same token, \"{}\"", other->second, id, bytes);
  }
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    const auto found = model->ids.find(std::string_view(&byte, 1));
    require(found != model->ids.end(),
            "no token stands for the byte 0x{:02x}, so text with that byte cannot be encoded", b);
    model->byte_ids[static_cast<size_t>(b)] = found->second;
  }
  model_ = model;
}

Tokenizer Tokenizer::load(const std::string& path, std::optional<Pattern> pattern) {
  try {
    require(fs::exists(path), "there is no such file or folder");
    return Tokenizer(parts_of_path(path, pattern));
  } catch (const Error& error) {
    fail("cannot load a tokenizer from {}: {}", path, error.what());
  }
}

void Tokenizer::save(const std::string& path) const {
  const std::string temporary = path + ".tmp";
  {
    std::ofstream out(temporary, std::ios::binary);
    require(out.is_open(), "cannot write {}", temporary);
    out << json_of_parts(model_->parts);
    out.flush();
    require(out.good(), "cannot write {}; is the disk full?", temporary);
  }
  fs::rename(temporary, path);
}

uint32_t Tokenizer::vocabulary() const { return static_cast<uint32_t>(parts().tokens.size()); }

std::optional<uint32_t> Tokenizer::special(std::string_view name) const {
  for (const SpecialToken& special : parts().specials)
    if (special.name == name) return special.id;
  return std::nullopt;
}

uint32_t Tokenizer::end_of_document() const {
  for (std::string_view name : {"<|endoftext|>", "<|end_of_text|>"})
    if (const auto id = special(name)) return *id;
  fail(
      "the tokenizer has no token that ends a document: neither <|endoftext|> nor <|end_of_text|>");
}

std::string Tokenizer::decode(std::span<const uint32_t> ids) const {
  std::string text;
  text.reserve(ids.size() * 4);
  for (uint32_t id : ids) {
    const std::string_view token = bytes(id);
    require(!token.empty(), "no token has the id {}; the vocabulary ends at {}", id, vocabulary());
    text += token;
  }
  return text;
}

std::string_view Tokenizer::bytes(uint32_t id) const {
  return id < parts().tokens.size() ? std::string_view(parts().tokens[id]) : std::string_view();
}

std::string Tokenizer::fingerprint() const {
  Hash hash;
  hash.text(name_of(parts().pattern));
  hash.text(unicode_version);
  hash.number(parts().whole_piece_first);
  hash.number(parts().tokens.size());
  for (const std::string& token : parts().tokens) hash.text(token);
  hash.number(parts().merges.size());
  for (const auto& [left, right, result] : parts().merges) {
    hash.number(left);
    hash.number(right);
    hash.number(result);
  }
  for (const SpecialToken& special : parts().specials) {
    hash.text(special.name);
    hash.number(special.id);
  }
  return hash.hex();
}

const TokenizerParts& Tokenizer::parts() const { return model_->parts; }

}  // namespace katman
