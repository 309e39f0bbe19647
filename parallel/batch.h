// Which sequences a rank computes, by arithmetic.
#pragma once

#include <cstdint>
#include <vector>

namespace katman {

// Consecutive sequences, numbered over the whole run: a forward pass's share of a batch.
struct MicroBatch {
  int64_t first = 0, sequences = 0;
  bool operator==(const MicroBatch&) const = default;
};

// Replica `dp_rank`'s part of sequences [first, first + count), cut into the fewest micro-batches
// of at most `micro_batch`. Both cuts are even to within one sequence, and no count is ever
// refused: a replica without sequences has no micro-batches.
std::vector<MicroBatch> cut_batch(int64_t first, int64_t count, int dp_rank, int dp,
                                  int64_t micro_batch);

// Which sequences every step takes: `full` of them; or, while the first `ramp` sequences of the run
// are read, a number that grows linearly with those already read, from `start` on (Brown et al.,
// 2020, appendix B). Step s follows from s alone, so that a run goes on from its number of steps.
class BatchPlan {
 public:
  explicit BatchPlan(int64_t full, int64_t start = 0, int64_t ramp = 0);

  // The number of the first sequence of `step`: how many all steps before it have read.
  int64_t first(int64_t step) const;
  int64_t sequences(int64_t step) const { return first(step + 1) - first(step); }
  // The step that reads sequence `sequence`.
  int64_t step_of(int64_t sequence) const;

 private:
  int64_t full_;
  std::vector<int64_t> firsts_;  // [step], of the ramp and the first step behind it
};

}  // namespace katman
