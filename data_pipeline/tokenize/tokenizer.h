// Byte-level byte-pair encoding (Sennrich, Haddow, Birch 2016; over bytes as in GPT-2): text to
// token ids and back, to the id as Hugging Face `tokenizers` and `tiktoken` do it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/tokenize/merges.h"
#include "data_pipeline/tokenize/pattern.h"

namespace katman {

struct SpecialToken {
  std::string name;
  uint32_t id;
};

// What a file or the trainer says a tokenizer is. Tokenizer's constructor checks it.
struct TokenizerParts {
  Pattern pattern = Pattern::gpt2;
  // A piece that is itself a token becomes that token without asking the merges: the rule of
  // tiktoken, and `ignore_merges` of tokenizer.json.
  bool whole_piece_first = false;
  std::vector<std::string> tokens;     // [id] the bytes it stands for; empty: an unused id
  std::vector<Merge> merges;           // [rank]
  std::vector<SpecialToken> specials;  // their ids may be below or above tokens.size()
  // What tokenizer.json says is put around the ids of a text (JSON). It is written back by save()
  // and otherwise left to whoever calls encode(): the ids of a text are the text's alone.
  std::string post_processor = "null";
};

// A vocabulary and its merges. Immutable, cheap to copy, thread-safe; encoding is an Encoder's.
//
// Every byte has a token, so every byte string, valid UTF-8 or not, can be encoded, and
// decode(encode(x)) == x. Special tokens are never parsed out of text: whoever wants one appends
// its id.
class Tokenizer {
 public:
  // Throws Error if a byte has no token, an id or a merge is impossible, or two tokens are equal.
  explicit Tokenizer(TokenizerParts parts);

  // Reads a tokenizer.json; or a folder with tokenizer.json, or with vocab.json and merges.txt
  // (pattern gpt2, or the one named); or a .tiktoken file, for which `pattern` has to be named
  // because the file does not say it. Throws Error naming the file and what is wrong with it.
  static Tokenizer load(const std::string& path, std::optional<Pattern> pattern = std::nullopt);

  // Writes a tokenizer.json, through a temporary file and a rename. `tokenizers` loads it and
  // gives the same ids for any text that does not contain the name of a special token.
  void save(const std::string& path) const;

  // One more than the largest id. There may be ids below it that no token has.
  uint32_t vocabulary() const;
  // The id of the special token called `name`.
  std::optional<uint32_t> special(std::string_view name) const;
  // The id that separates documents: "<|endoftext|>", or Llama-3's "<|end_of_text|>". Throws Error
  // if there is neither.
  uint32_t end_of_document() const;

  // The bytes of the tokens, one after the other; a special token gives its name. An id that no
  // token has throws Error.
  std::string decode(std::span<const uint32_t> ids) const;
  // The bytes of one token; empty for an id that no token has. Valid as long as this or a copy is.
  std::string_view bytes(uint32_t id) const;

  // 32 hexadecimal digits: a hash of everything that decides the ids (pattern, Unicode version,
  // tokens, merges, special tokens).
  std::string fingerprint() const;

  const TokenizerParts& parts() const;

 private:
  friend class Encoder;
  struct Model;
  std::shared_ptr<const Model> model_;
};

// Turns text into ids. Not thread-safe: one per thread. It remembers the ids of recent pieces in
// about 12 MB that it allocates once; what it remembers never changes an id.
class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer);
  ~Encoder();
  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;

  // Appends the ids of `text` to `out`. Texts are independent: encode(a), encode(b) is not the
  // encoding of a + b.
  void encode(std::string_view text, std::vector<uint32_t>& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace katman
