// What attention does row by row: delta before a backward pass, filling the caches, and
// the order of statistics.
#include "core/cuda/kernels/attention.cuh"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/reduce.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256, warps = threads / warp_threads;

// A warp per token and head.
template <class T>
__global__ void delta_kernel(AttentionBackward<T> b) {
  const AttentionForward<T>& p = b.forward;
  const int64_t index = int64_t{blockIdx.x} * warps + threadIdx.x / warp_threads;
  const int64_t tokens = p.sequences * p.length;
  const int heads = heads_of(p);
  if (index >= tokens * heads) return;
  const T *out = p.out + index * p.head_dim, *dout = b.dout + index * p.head_dim;
  float sum = 0;
  for (int c = threadIdx.x % warp_threads; c < p.head_dim; c += warp_threads)
    sum += widen(out[c]) * widen(dout[c]);
  sum = warp_sum(sum);
  if (threadIdx.x % warp_threads == 0) b.delta[index % heads * tokens + index / heads] = sum;
}

template <class T>
__global__ void append_kernel(CacheAppend<T> p) {
  const int64_t at = int64_t{blockIdx.x} * threads + threadIdx.x;
  const int64_t c = at % p.head_dim, head = at / p.head_dim;
  const int64_t group = head % p.groups, token = head / p.groups;
  if (token >= p.sequences * p.length) return;
  const int64_t sequence = token / p.length, i = token % p.length;
  const int64_t from = sequence * p.from.sequence + i * p.from.token + group * p.from.group + c;
  const int64_t to =
      sequence * p.cache.sequence + (p.past + i) * p.cache.token + group * p.cache.group + c;
  p.k_cache[to] = p.k[from];
  p.v_cache[to] = p.v[from];
}

__global__ void swap_kernel(const float* from, float* to, int64_t outer, int64_t inner,
                            int64_t length) {
  const int64_t at = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (at >= outer * inner * length) return;
  const int64_t row = at / length, i = row / inner, j = row % inner;
  to[(j * outer + i) * length + at % length] = from[at];
}

}  // namespace

void swap_outer(cudaStream_t stream, const float* from, float* to, int64_t outer, int64_t inner,
                int64_t length) {
  launch(stream, blocks_for(outer * inner * length, threads), threads, 0, swap_kernel, from, to,
         outer, inner, length);
}

template <class T>
void attention_delta(cudaStream_t stream, const AttentionBackward<T>& b) {
  const auto& p = b.forward;
  launch(stream, blocks_for(p.sequences * p.length * p.groups * p.queries_per_group, warps),
         threads, 0, delta_kernel<T>, b);
}

template <class T>
void append_to_cache(cudaStream_t stream, const CacheAppend<T>& p) {
  launch(stream, blocks_for(p.sequences * p.length * p.groups * p.head_dim, threads), threads, 0,
         append_kernel<T>, p);
}

template void attention_delta(cudaStream_t, const AttentionBackward<float>&);
template void attention_delta(cudaStream_t, const AttentionBackward<bf16>&);
template void append_to_cache(cudaStream_t, const CacheAppend<float>&);
template void append_to_cache(cudaStream_t, const CacheAppend<bf16>&);

}  // namespace katman::kernels
