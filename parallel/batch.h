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

}  // namespace katman
