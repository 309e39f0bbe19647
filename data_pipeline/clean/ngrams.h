// Repetition of word sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace katman {

struct WordSpan {
  uint64_t hash;
  uint32_t points;  // length in code points
};

// The share of `points` (the text's length) taken by the most frequent sequence of n words: its
// length, with a blank between words, times its count. Zero if no sequence occurs twice.
double top_ngram_share(const std::vector<WordSpan>& words, size_t n, uint64_t points);

// The share of words' length in sequences of n words that occurred before; the search goes on
// behind a repeated sequence, so nothing counts twice (Rae et al., 2021, table A1, as datatrove
// does it).
double repeated_ngram_share(const std::vector<WordSpan>& words, size_t n, uint64_t points);

}  // namespace katman
