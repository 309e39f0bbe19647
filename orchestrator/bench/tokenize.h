// How fast one core tokenizes: what `katman bench tokenize` prints.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace katman {

struct TokenizeBench {
  std::vector<std::string> files = {};  // UTF-8 text, one document each; none: made-up text
  std::string tokenizer = {};           // as for Tokenizer::load; empty: one learned from the text
  uint32_t vocabulary = 32768;          // of a tokenizer that is learned
  double seconds = 2;                   // to spend on each figure, at least one pass over the text
};

// Rates are per second of one core's time (the thread's CPU clock), in 10^6 bytes of text, and are
// those of the fastest pass.
struct TokenizeFigures {
  std::string text, tokenizer;  // what was measured, in words
  uint32_t vocabulary = 0;
  uint64_t bytes = 0, tokens = 0;  // of one pass
  double bytes_per_token = 0;
  double first_mb_per_s = 0;  // the pass that starts with an empty cache
  double encode_mb_per_s = 0, encode_tokens_per_s = 0;
  double decode_mb_per_s = 0;
  double count_mb_per_s = 0;  // counting pieces, the part of training that reads the corpus
  double learn_s = 0;         // the other part: learning `vocabulary` tokens from the counts
};

// Throws UsageError for options that make no sense, Error for a file that cannot be read.
TokenizeFigures run_tokenize_bench(const TokenizeBench& bench);

// `bytes` of made-up English-looking text: words of random syllables, drawn with Zipf's frequencies
// from a lexicon that grows by Heaps' law, with punctuation, numbers and line breaks. A pure
// function of the seed.
std::string made_up_text(uint64_t bytes, uint64_t seed);

}  // namespace katman
