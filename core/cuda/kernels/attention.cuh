// What the attention kernels share on the device.
#pragma once

#include <cuda_runtime.h>

#include "core/cuda/kernels/attention.h"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {

// The head that a block works on: blockIdx.x counts them, sequence by sequence.
struct HeadIndex {
  int64_t sequence;
  int head;

  __device__ HeadIndex(int64_t index, int heads)
      : sequence(index / heads), head(static_cast<int>(index % heads)) {}
};

template <class T>
__device__ int heads_of(const AttentionForward<T>& p) {
  return p.groups * p.queries_per_group;
}
// Token 0 of a query head, and of the keys of a group.
template <class T>
__device__ int64_t query_offset(const AttentionForward<T>& p, int64_t sequence, int head) {
  return sequence * p.q_strides.sequence + head / p.queries_per_group * p.q_strides.group +
         head % p.queries_per_group * p.q_strides.head;
}
template <class T>
__device__ int64_t key_offset(const AttentionForward<T>& p, int64_t sequence, int group) {
  return sequence * p.kv_strides.sequence + group * p.kv_strides.group;
}

// The first position that query i of a sequence may look at.
template <class T>
__device__ int64_t first_key(const AttentionForward<T>& p, int64_t sequence, int64_t i) {
  int64_t first = p.mask.window > 0 ? p.past + i - p.mask.window + 1 : 0;
  if (p.mask.document_start)
    first = max(first, int64_t{p.mask.document_start[sequence * p.length + i]});
  return max(first, int64_t{0});
}

// What dropout multiplies the probability of (i, j) with.
template <class T>
__device__ float kept(const AttentionForward<T>& p, int64_t sequence, int head, int64_t i,
                      int64_t j) {
  const uint64_t matrix = p.mask.first_matrix + sequence * p.mask.heads_global + head;
  const uint64_t element = (matrix * p.length + i) * p.length + j;
  return random_uniform(p.mask.dropout_key, element) >= p.mask.dropout ? 1 / (1 - p.mask.dropout)
                                                                       : 0.0f;
}

}  // namespace katman::kernels
