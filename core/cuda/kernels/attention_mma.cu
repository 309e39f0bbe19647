// FlashAttention-2 (Dao, 2023) on tensor cores. A warp owns 16 rows of a tile: of queries in the
// forward pass and for their gradient, of keys for theirs. The other side streams through shared
// memory, the next tile arriving while this one is worked on. Everything is made of two products,
//   A B^T  of rows in shared memory:           scores, and their gradients;
//   P B    of sums that are already in registers, rounded to bf16: outputs and gradients;
// so neither scores nor probabilities ever leave a warp's registers.
#include "core/cuda/kernels/attention.cuh"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/reduce.cuh"
#include "core/cuda/kernels/token_tiles.cuh"

namespace katman::kernels {
namespace {

constexpr int own_rows = 16 * token_warps;  // rows of the tile that the block's warps own
constexpr float log2_e = 1.4426950409f;

// Over the four lanes that share a row.
__device__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(all_lanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(all_lanes, x, 2));
}
__device__ float quad_sum(float x) {
  x += __shfl_xor_sync(all_lanes, x, 1);
  return x + __shfl_xor_sync(all_lanes, x, 2);
}

// The first position that any query of [begin, end) may look at, rounded down to a tile.
__device__ int64_t first_tile(const AttentionForward<bf16>& p, int64_t sequence, int64_t begin,
                              int64_t end, int step) {
  int64_t first = first_key(p, sequence, begin);
  if (p.mask.document_start)
    for (int64_t i = begin + 1; i < end; ++i) first = min(first, first_key(p, sequence, i));
  return first / step * step;
}

// Whether every query of [i0, i1] sees every key of [j0, j1] and nothing is dropped.
__device__ bool is_open(const AttentionForward<bf16>& p, int64_t i0, int64_t i1, int64_t j0,
                        int64_t j1) {
  return j1 <= i0 && i1 < p.length && !p.mask.document_start && p.mask.dropout == 0 &&
         (p.mask.window == 0 || i1 - j0 < p.mask.window);
}

template <class E>
__device__ E* output_of(const AttentionForward<bf16>& p, E* out, HeadIndex at) {
  const int64_t width = int64_t{heads_of(p)} * p.head_dim;
  return out + at.sequence * p.length * width + int64_t{at.head} * p.head_dim;
}
__device__ int64_t stats_offset(const AttentionForward<bf16>& p, HeadIndex at) {
  return (int64_t{at.head} * p.sequences + at.sequence) * p.length;
}

// --- forward

template <int D>
__global__ void __launch_bounds__(token_threads) forward_kernel(AttentionForward<bf16> p) {
  constexpr int step = 64, N = step / 8;
  bf16* q = shared_memory<bf16>();
  bf16 *k = q + own_rows * D, *v = k + 2 * step * D;
  const HeadIndex at(blockIdx.x, heads_of(p));
  const int64_t begin = int64_t{gridDim.y - 1 - blockIdx.y} * own_rows;  // the longest rows first
  const int64_t end = min(begin + own_rows, p.length);
  const int64_t keys = key_offset(p, at.sequence, at.head / p.queries_per_group);
  const int lane = threadIdx.x % warp_threads, own = threadIdx.x / warp_threads * 16;
  const int64_t row0 = begin + own + lane / 4;  // and row0 + 8

  int64_t first[2];
  float maximum[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
#pragma unroll
  for (int half = 0; half < 2; ++half)
    first[half] = first_key(p, at.sequence, min(row0 + 8 * half, p.length - 1));
  Sums<D / 8> out;
  out.clear();

  fetch<own_rows, D>(q, p.q + query_offset(p, at.sequence, at.head), p.q_strides.token, begin, end);
  stream_tiles(
      first_tile(p, at.sequence, begin, end, step), end, step,
      [&](int buffer, int64_t j0) {
        fetch<step, D>(k + buffer * step * D, p.k + keys, p.kv_strides.token, j0, end);
        fetch<step, D>(v + buffer * step * D, p.v + keys, p.kv_strides.token, j0, end);
      },
      [&](int buffer, int64_t j0) {
        Sums<N> scores;
        multiply_rows<D>(scores, q, own, k + buffer * step * D);
        const bool open = is_open(p, begin + own, begin + own + 15, j0, j0 + step - 1);
        float highest[2] = {maximum[0], maximum[1]};
        scores.each([&](float& score, int half, int column) {
          const int64_t i = row0 + 8 * half, j = j0 + column;
          if (!open && (i >= p.length || j > i || j < first[half])) score = -INFINITY;
          highest[half] = fmaxf(highest[half], score);
        });
        float shrink[2], base[2], sum[2] = {0, 0};
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          highest[half] = quad_max(highest[half]);
          // Where nothing was seen yet, -inf - -inf would be NaN.
          base[half] = highest[half] == -INFINITY ? 0 : highest[half] * p.scale * log2_e;
          shrink[half] = exp2f(maximum[half] * p.scale * log2_e - base[half]);
          maximum[half] = highest[half];
        }
        scores.each([&](float& score, int half, int column) {
          score = exp2f(score * p.scale * log2_e - base[half]);
          sum[half] += score;
          if (p.mask.dropout > 0)
            score *= kept(p, at.sequence, at.head, row0 + 8 * half, j0 + column);
        });
#pragma unroll
        for (int half = 0; half < 2; ++half)
          total[half] = total[half] * shrink[half] + quad_sum(sum[half]);
        out.each([&](float& value, int half, int) { value *= shrink[half]; });
        multiply_registers<D>(out, scores, v + buffer * step * D);
      });

  out.each([&](float& value, int half, int) { value /= total[half]; });
  put<D>(out, q, own, output_of(p, p.out, at), int64_t{heads_of(p)} * p.head_dim, begin, end);
  if (p.lse && lane % 4 == 0)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (row0 + 8 * half < p.length)
        p.lse[stats_offset(p, at) + row0 + 8 * half] = maximum[half] * p.scale + logf(total[half]);
}

// --- backward

// The probability of (i, j) after dropout, and the gradient of its scaled score, from the product
// q k, the product dout v, and the row's statistics.
struct ScoreGradient {
  float probability, gradient;
};
__device__ ScoreGradient score_gradient(const AttentionForward<bf16>& p, HeadIndex at, bool seen,
                                        int64_t i, int64_t j, float score, float dprobability,
                                        float lse, float delta) {
  if (!seen) return {0, 0};
  const float probability = exp2f((score * p.scale - lse) * log2_e);
  const float keep = p.mask.dropout > 0 ? kept(p, at.sequence, at.head, i, j) : 1.0f;
  return {probability * keep, probability * (keep * dprobability - delta) * p.scale};
}

// Fewer rows at a time where the gradients of a wide head fill the registers.
template <int D>
constexpr int backward_step = D > 64 ? 32 : 64;

template <int D>
__global__ void __launch_bounds__(token_threads) key_grad_kernel(AttentionBackward<bf16> b) {
  constexpr int step = backward_step<D>, N = step / 8;
  const AttentionForward<bf16>& p = b.forward;
  bf16* k = shared_memory<bf16>();
  bf16 *v = k + own_rows * D, *q = v + own_rows * D, *dout = q + 2 * step * D;
  const HeadIndex of(blockIdx.x, p.groups);
  const int64_t begin = int64_t{blockIdx.y} * own_rows, keys = key_offset(p, of.sequence, of.head);
  const int lane = threadIdx.x % warp_threads, own = threadIdx.x / warp_threads * 16;
  const int64_t key0 = begin + own + lane / 4;  // and key0 + 8
  const int64_t width = int64_t{heads_of(p)} * p.head_dim;
  // Later queries than this look at none of these keys.
  const int64_t end =
      p.mask.window > 0 ? min(p.length, begin + own_rows - 1 + p.mask.window) : p.length;
  Sums<D / 8> dk, dv;
  dk.clear();
  dv.clear();
  fetch<own_rows, D>(k, p.k + keys, p.kv_strides.token, begin, p.length);
  fetch<own_rows, D>(v, p.v + keys, p.kv_strides.token, begin, p.length);
  for (int within = 0; within < p.queries_per_group; ++within) {
    HeadIndex at = of;
    at.head = of.head * p.queries_per_group + within;
    const float *lse = p.lse + stats_offset(p, at), *delta = b.delta + stats_offset(p, at);
    const bf16* queries = p.q + query_offset(p, at.sequence, at.head);
    const bf16* gradients = output_of(p, b.dout, at);
    stream_tiles(
        begin, end, step,
        [&](int buffer, int64_t i0) {
          fetch<step, D>(q + buffer * step * D, queries, p.q_strides.token, i0, p.length);
          fetch<step, D>(dout + buffer * step * D, gradients, width, i0, p.length);
        },
        [&](int buffer, int64_t i0) {
          Sums<N> scores, dscores;  // rows are keys, columns queries
          multiply_rows<D>(scores, k, own, q + buffer * step * D);
          multiply_rows<D>(dscores, v, own, dout + buffer * step * D);
          const bool open = is_open(p, i0, i0 + step - 1, begin + own, begin + own + 15);
#pragma unroll
          for (int n = 0; n < N; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int64_t i = i0 + n * 8 + lane % 4 * 2 + e % 2, j = key0 + e / 2 * 8;
              const bool seen =
                  open || (i < p.length && j <= i && j >= first_key(p, at.sequence, i));
              const int64_t row = min(i, p.length - 1);
              const auto [probability, gradient] = score_gradient(
                  p, at, seen, i, j, scores.value[n][e], dscores.value[n][e], lse[row], delta[row]);
              scores.value[n][e] = probability;
              dscores.value[n][e] = gradient;
            }
          multiply_registers<D>(dv, scores, dout + buffer * step * D);
          multiply_registers<D>(dk, dscores, q + buffer * step * D);
        });
  }
  put<D>(dk, k, own, b.dk + keys, p.kv_strides.token, begin, p.length);
  put<D>(dv, v, own, b.dv + keys, p.kv_strides.token, begin, p.length);
}

template <int D>
__global__ void __launch_bounds__(token_threads) query_grad_kernel(AttentionBackward<bf16> b) {
  constexpr int step = backward_step<D>, N = step / 8;
  const AttentionForward<bf16>& p = b.forward;
  bf16* q = shared_memory<bf16>();
  bf16 *dout = q + own_rows * D, *k = dout + own_rows * D, *v = k + 2 * step * D;
  const HeadIndex at(blockIdx.x, heads_of(p));
  const int64_t begin = int64_t{gridDim.y - 1 - blockIdx.y} * own_rows;
  const int64_t end = min(begin + own_rows, p.length);
  const int64_t queries = query_offset(p, at.sequence, at.head);
  const int64_t keys = key_offset(p, at.sequence, at.head / p.queries_per_group);
  const int64_t width = int64_t{heads_of(p)} * p.head_dim;
  const int lane = threadIdx.x % warp_threads, own = threadIdx.x / warp_threads * 16;
  const int64_t row0 = begin + own + lane / 4;  // and row0 + 8

  int64_t first[2];
  float lse[2], delta[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = min(row0 + 8 * half, p.length - 1);
    first[half] = first_key(p, at.sequence, row);
    lse[half] = p.lse[stats_offset(p, at) + row];
    delta[half] = b.delta[stats_offset(p, at) + row];
  }
  Sums<D / 8> dq;
  dq.clear();
  fetch<own_rows, D>(q, p.q + queries, p.q_strides.token, begin, end);
  fetch<own_rows, D>(dout, output_of(p, b.dout, at), width, begin, end);
  stream_tiles(
      first_tile(p, at.sequence, begin, end, step), end, step,
      [&](int buffer, int64_t j0) {
        fetch<step, D>(k + buffer * step * D, p.k + keys, p.kv_strides.token, j0, end);
        fetch<step, D>(v + buffer * step * D, p.v + keys, p.kv_strides.token, j0, end);
      },
      [&](int buffer, int64_t j0) {
        Sums<N> scores, dscores;
        multiply_rows<D>(scores, q, own, k + buffer * step * D);
        multiply_rows<D>(dscores, dout, own, v + buffer * step * D);
        const bool open = is_open(p, begin + own, begin + own + 15, j0, j0 + step - 1);
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int half = e / 2;
            const int64_t i = row0 + 8 * half, j = j0 + n * 8 + lane % 4 * 2 + e % 2;
            const bool seen = open || (i < p.length && j <= i && j >= first[half]);
            dscores.value[n][e] = score_gradient(p, at, seen, i, j, scores.value[n][e],
                                                 dscores.value[n][e], lse[half], delta[half])
                                      .gradient;
          }
        multiply_registers<D>(dq, dscores, k + buffer * step * D);
      });
  put<D>(dq, q, own, b.dq + queries, p.q_strides.token, begin, end);
}

template <int D>
void start_forward(cudaStream_t stream, const AttentionForward<bf16>& p) {
  const auto heads = static_cast<unsigned>(p.sequences * p.groups * p.queries_per_group);
  launch(stream, dim3(heads, blocks_for(p.length, own_rows)), token_threads,
         (own_rows + 4 * 64) * D * sizeof(bf16), forward_kernel<D>, p);
}

template <int D>
void start_backward(cudaStream_t stream, const AttentionBackward<bf16>& b) {
  const auto& p = b.forward;
  const auto groups = static_cast<unsigned>(p.sequences * p.groups);
  const auto heads = groups * static_cast<unsigned>(p.queries_per_group);
  const unsigned tiles = blocks_for(p.length, own_rows);
  constexpr size_t shared = (2 * own_rows + 4 * backward_step<D>)*D * sizeof(bf16);
  attention_delta(stream, b);
  launch(stream, dim3(groups, tiles), token_threads, shared, key_grad_kernel<D>, b);
  launch(stream, dim3(heads, tiles), token_threads, shared, query_grad_kernel<D>, b);
}

}  // namespace

bool attention_mma_takes(const AttentionForward<bf16>& p) {
  const auto packed = [](const HeadStrides& s) {
    return s.sequence % 8 == 0 && s.token % 8 == 0 && s.group % 8 == 0 && s.head % 8 == 0;
  };
  return (p.head_dim == 64 || p.head_dim == 128) && p.past == 0 &&
         can_pack(8, p.q, p.k, p.v, p.out) && packed(p.q_strides) && packed(p.kv_strides);
}

bool attention_mma_takes(const AttentionBackward<bf16>& b) {
  return attention_mma_takes(b.forward) && can_pack(8, b.dout, b.dq, b.dk, b.dv);
}

void attention_mma(cudaStream_t stream, const AttentionForward<bf16>& p) {
  p.head_dim == 64 ? start_forward<64>(stream, p) : start_forward<128>(stream, p);
}

void attention_mma_grad(cudaStream_t stream, const AttentionBackward<bf16>& b) {
  b.forward.head_dim == 64 ? start_backward<64>(stream, b) : start_backward<128>(stream, b);
}

}  // namespace katman::kernels
