// Batches without state: training sample i is a function of (corpus, split, sequence, seed, i).
#pragma once

#include <cstdint>
#include <span>

#include "core/random.h"
#include "data_pipeline/corpus/corpus.h"

namespace katman {

// The samples of one split of a corpus, in shuffled order, epoch after epoch.
//
// The split's tokens are cut into windows of `sequence` inputs, each with one more token so that
// every input has its target: window w is tokens [w * sequence, (w + 1) * sequence + 1), and
// windows cross documents and shards. Sample i is window permute(i mod n) of epoch i / n, each
// epoch with its own permutation, so every window comes once per epoch. Nothing is remembered:
// ranks take their samples by arithmetic, and a run resumes from the number of samples consumed.
//
// Immutable, safe to call from many threads; the corpus must outlive it.
class Loader {
 public:
  // Throws an Error when the split is shorter than one window.
  Loader(const Corpus& corpus, Split split, int64_t sequence, uint64_t seed);

  uint64_t samples_per_epoch() const { return windows_; }
  int64_t sequence() const { return sequence_; }
  const Corpus& corpus() const { return corpus_; }
  Split split() const { return split_; }

  // Where sample `index` begins among the tokens of the split.
  uint64_t first_token(uint64_t index) const;
  // Fills tokens[sequence + 1] with sample `index`, any 64-bit number. Inputs are the first
  // `sequence` tokens, targets the last. Throws when the span has another length.
  void sample(uint64_t index, std::span<int32_t> tokens) const;

 private:
  const Corpus& corpus_;
  Split split_;
  int64_t sequence_;
  Key key_;
  uint64_t windows_;
};

// A number that stands for "sample `index` was consumed and held these tokens". Sums of digests
// (modulo 2^64) do not depend on the order, so the sum over the ranks and steps of a run says
// whether two runs consumed the same samples, whatever their number of replicas or interruptions.
uint64_t sample_digest(uint64_t index, std::span<const int32_t> tokens);

}  // namespace katman
