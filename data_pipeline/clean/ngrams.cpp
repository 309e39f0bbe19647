#include "data_pipeline/clean/ngrams.h"

#include <algorithm>
#include <bit>

namespace katman {
namespace {

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
  return x ^ (x >> 32);
}

uint64_t hash_of(const WordSpan* words, size_t n) {
  uint64_t hash = n;
  for (size_t i = 0; i < n; ++i) hash = mix(hash * 0x9e3779b97f4a7c15 + words[i].hash);
  return hash | 1;  // zero marks an empty slot
}

// Counts by hash, open addressing. A collision of 64-bit hashes would count two as one.
class Counts {
 public:
  explicit Counts(size_t most) : slots_(std::bit_ceil(2 * most + 1)) {}
  uint32_t add(uint64_t hash) {
    for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].hash == 0) slots_[at].hash = hash;
      if (slots_[at].hash == hash) return ++slots_[at].count;
    }
  }

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t count = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace

double top_ngram_share(const std::vector<WordSpan>& words, size_t n, uint64_t points) {
  if (words.size() < n || points == 0) return 0;
  Counts counts(words.size());
  uint64_t top = 0;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    const uint64_t count = counts.add(hash_of(&words[i], n));
    if (count < 2) continue;
    uint64_t length = n - 1;
    for (size_t k = 0; k < n; ++k) length += words[i + k].points;
    top = std::max(top, count * length);
  }
  return static_cast<double>(top) / static_cast<double>(points);
}

double repeated_ngram_share(const std::vector<WordSpan>& words, size_t n, uint64_t points) {
  if (words.size() < n || points == 0) return 0;
  Counts counts(words.size());
  uint64_t repeated = 0;
  for (size_t i = 0; i + n <= words.size();) {
    if (counts.add(hash_of(&words[i], n)) == 1) {
      ++i;
      continue;
    }
    for (size_t k = 0; k < n; ++k) repeated += words[i + k].points;
    i += n;
  }
  return static_cast<double>(repeated) / static_cast<double>(points);
}

}  // namespace katman
