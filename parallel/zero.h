// ZeRO stage 1 (Rajbhandari et al., 2020): every data-parallel rank updates its slice of every
// bucket.
#pragma once

#include <cstdint>
#include <vector>

#include "core/adam.h"
#include "core/params.h"
#include "parallel/checkpoint/piece.h"
#include "parallel/groups.h"

namespace katman {

// The optimizer of one rank. fp32 master weights and both moments exist only for my slice
// [dp.rank, dp.rank + 1) * elements / dp of each bucket; in fp32 the master is that slice of the
// values itself. A step is: ready() for every bucket as its last gradient is done, finish_reduce()
// (gradients are now sums over the whole batch), square_norm(), then update() or nothing.
class Zero {
 public:
  // What Params::allocate must pad buckets to: equal slices that start on a cache line.
  static int64_t pad_to(const Groups& groups) { return 32 * groups.mesh.dp; }

  // All referenced objects outlive this. State is zero until initialise() or a load.
  Zero(Params& params, Backend& backend, const Groups& groups, const AdamConfig& adam,
       bool sequence_parallel);
  // Masters start at initial_values(param, seed), as the values do.
  void initialise(Key seed);

  // This rank adds nothing more to the gradients of this bucket in this step. Sums over the
  // replicas start from the last bucket (whose gradients a backward pass finishes first) as far as
  // buckets are ready, in this order on every replica whatever its micro-batches are, and travel
  // while the backward pass goes on. Buckets with a tied parameter wait for finish_reduce().
  void ready(size_t bucket);
  // Starts what has not been started and waits for everything.
  void finish_reduce();
  // out f32 [1] += sum of squares of my slices; over the world, every parameter counts once.
  void square_norm(const Tensor& out);
  // AdamW on my slices, then the new values for everyone. `step` counts from 0 and skipped steps
  // count, so that it is all a resumed run needs; the division by tokens and clipping are in
  // grad_scale.
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
    int64_t begin, count;                  // elements of the bucket
    Tensor value, grad;                    // [count], windows on the bucket
    Tensor master, m, v;                   // f32 [count]
    std::vector<Tensor> countable;         // ranges of grad that this rank counts in norms
    std::vector<Param*> replicated, tied;  // whose gradients are summed over tp, over the ends
    bool ready = false, started = false;
    Work work = {};
  };
  // The elements of one parameter that lie in a slice.
  struct Part {
    Param* param;
    int64_t begin, end;   // of the parameter's box
    int64_t slice_begin;  // where they are in the slice
  };

  Slice make_slice(Bucket& bucket);
  std::vector<Part> parts(const Slice& slice) const;
  bool counted_here(const Param& param) const;
  std::vector<Tensor> countable_ranges(const Slice& slice) const;
  void start(Slice& slice);
  void sum_replicated(const Slice& slice);
  void sum_tied(const Slice& slice);
  void gather_values();

  Backend& backend_;
  const Groups& groups_;
  AdamConfig adam_;
  bool sequence_parallel_;
  std::vector<Slice> slices_;  // [bucket]
};

}  // namespace katman
