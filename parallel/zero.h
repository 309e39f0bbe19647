// ZeRO stage 1 (Rajbhandari et al., 2020): every data-parallel rank updates its slice of every
// bucket.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/adam.h"
#include "core/params.h"
#include "parallel/checkpoint/piece.h"
#include "parallel/groups.h"

namespace katman {

// The optimizer of one rank. fp32 master weights and both moments exist only for my slice
// [dp.rank, dp.rank + 1) * elements / dp of each bucket; in fp32 the master is that slice of the
// values itself. A step is: reduce() for every bucket as its last gradient is done, finish_reduce()
// (gradients are now sums over the whole batch), square_norm(), then update() or nothing.
class Zero {
 public:
  // Reads first values from initial_values(param, seed). All referenced objects outlive this.
  Zero(Params& params, Backend& backend, const Groups& groups, const AdamConfig& adam, Key seed,
       bool sequence_parallel);

  // Starts summing this bucket over the replicas, while the rest of the backward pass goes on. Same
  // order of calls on all replicas. Buckets that hold a tied parameter wait for finish_reduce().
  void reduce(size_t bucket);
  // Starts what has not been started and waits for everything.
  void finish_reduce();
  // out f32 [1] += sum of squares of my slices; over the world, every parameter counts once.
  void square_norm(const Tensor& out);
  // AdamW on my slices, then the new values for everyone. step counts from 0; tokens and clipping
  // are in grad_scale.
  void update(int64_t step, float rate, float grad_scale);

  // My slices as boxes, in bucket order.
  std::vector<Piece> pieces();
  // After a load into pieces(): values everywhere follow the masters. Collective over dp.
  void values_from_masters();

  int64_t state_bytes() const;  // masters (unless they are the values) and moments

 private:
  // What I hold of one bucket.
  struct Slice {
    Bucket* bucket;
    int64_t begin, count;           // elements of the bucket
    Tensor value, grad, master;     // [count]
    Tensor m, v;                    // [count]
    std::vector<Tensor> countable;  // ranges of grad that this rank counts in norms
    bool tied = false;              // holds a tied parameter
    bool started = false;
    Work work;
  };
  void start(Slice& slice);
  void sum_replicated(Slice& slice);
  bool counted_here(const Param& param) const;
  void for_each_part(
      const Slice& slice,
      const std::function<void(const Param&, int64_t begin, int64_t end)>& use) const;
  void gather_values();

  Params& params_;
  Backend& backend_;
  const Groups& groups_;
  AdamConfig adam_;
  bool sequence_parallel_;
  std::vector<Slice> slices_;  // [bucket]
};

}  // namespace katman
