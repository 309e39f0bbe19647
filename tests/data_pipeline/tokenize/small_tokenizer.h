// Tokenizers small enough for a test, learned on the spot, and text to feed them.
#pragma once

#include <string>
#include <vector>

#include "core/random.h"
#include "data_pipeline/tokenize/train.h"

namespace katman::testing {

inline const std::string& small_corpus() {
  static const std::string corpus =
      "The quick brown fox doesn't jump over the lazy dog; it's the dog's day. We'll see, they've "
      "said, that 1234567 foxes and 42 dogs are there.\n\n  int main() { return 0; }\n\n"
      "K\xc4\xb1rm\xc4\xb1z\xc4\xb1 \xc3\xa7i\xc3\xa7"
      "ekler ve mavi g\xc3\xb6ky\xc3\xbcz\xc3\xbc. "
      "\xe4\xbb\x8a\xe6\x97\xa5\xe3\x81\xaf\xe8\x89\xaf\xe3\x81\x84\xe5\xa4\xa9\xe6\xb0\x97 "
      "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\n";
  return corpus;
}

inline Tokenizer small_tokenizer(Pattern pattern = Pattern::gpt2, uint32_t vocabulary = 360) {
  PieceCounter counter(pattern);
  for (int i = 0; i < 3; ++i) counter.add(small_corpus());
  return train_bpe(counter, {.vocabulary = vocabulary});
}

// Random snippets of the corpus with random bytes between them.
inline std::string random_bytes_and_text(Key key) {
  std::string text;
  for (uint64_t i = 0; i < 1 + random_bits(key, 0) % 20; ++i) {
    const uint64_t bits = random_bits(key, i + 1);
    if (bits & 3)
      text += small_corpus().substr((bits >> 8) % small_corpus().size(), 1 + (bits >> 40) % 60);
    else
      text.append(1 + (bits >> 40) % 3, static_cast<char>(bits >> 8));
  }
  return text;
}

inline std::vector<uint32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<uint32_t> ids;
  Encoder(tokenizer).encode(text, ids);
  return ids;
}

}  // namespace katman::testing
