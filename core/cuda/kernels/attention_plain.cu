#include "core/cuda/kernels/attention.cuh"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/reduce.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256;

// Tiles of `Tile` tokens by head_dim floats in shared memory. A row is one float longer than the
// head, so that a column of scores reads 32 banks.
template <int Tile>
struct Tiles {
  int head_dim;

  __device__ __host__ int pitch() const { return head_dim + 1; }
  __device__ __host__ int floats() const { return Tile * pitch(); }

  // Tokens [begin, begin + Tile) of a head; zeros from `end` on.
  template <class T>
  __device__ void fetch(float* tile, const T* head, int64_t token_stride, int64_t begin,
                        int64_t end) const {
    for (int at = threadIdx.x; at < Tile * head_dim; at += threads) {
      const int t = at / head_dim, c = at % head_dim;
      tile[t * pitch() + c] = begin + t < end ? widen(head[(begin + t) * token_stride + c]) : 0.0f;
    }
  }
  template <class T>
  __device__ void put(const float* tile, T* head, int64_t token_stride, int64_t begin,
                      int64_t end) const {
    for (int at = threadIdx.x; at < Tile * head_dim; at += threads) {
      const int t = at / head_dim, c = at % head_dim;
      if (begin + t < end) head[(begin + t) * token_stride + c] = narrow<T>(tile[t * pitch() + c]);
    }
  }
  __device__ void clear(float* tile) const {
    for (int at = threadIdx.x; at < floats(); at += threads) tile[at] = 0;
  }
  __device__ float dot(const float* a, int i, const float* b, int j) const {
    const float *x = a + i * pitch(), *y = b + j * pitch();
    float sum = 0;
    for (int c = 0; c < head_dim; ++c) sum += x[c] * y[c];
    return sum;
  }
};

constexpr __device__ __host__ int score_floats(int tile) { return tile * (tile + 1); }

// The first position that any query of [begin, end) may look at.
template <class T>
__device__ int64_t first_key_of_tile(const AttentionForward<T>& p, int64_t sequence, int64_t begin,
                                     int64_t end) {
  int64_t first = first_key(p, sequence, begin);
  if (p.mask.document_start)
    for (int64_t i = begin + 1; i < end; ++i) first = min(first, first_key(p, sequence, i));
  return first;
}

// --- forward

// One step of the online softmax: `per_row` neighbouring threads turn a row of scores into
// probabilities relative to the new maximum, and say by how much the past shrinks.
template <int Tile, class T>
__device__ void softmax_step(const AttentionForward<T>& p, float* scores, float* maximum,
                             float* total, float* shrink, HeadIndex at, int64_t first_query,
                             int64_t first_position) {
  constexpr int per_row = threads / Tile;
  const int i = threadIdx.x / per_row, part = threadIdx.x % per_row;
  float* row = scores + i * (Tile + 1);
  float highest = maximum[i];
  for (int j = part; j < Tile; j += per_row) highest = fmaxf(highest, row[j]);
#pragma unroll
  for (int step = per_row / 2; step > 0; step /= 2)
    highest = fmaxf(highest, __shfl_xor_sync(all_lanes, highest, step));
  float sum = 0;
  for (int j = part; j < Tile; j += per_row) {
    const float probability = row[j] == -INFINITY ? 0.0f : __expf(row[j] - highest);
    sum += probability;
    row[j] = p.mask.dropout > 0
                 ? probability * kept(p, at.sequence, at.head, first_query + i, first_position + j)
                 : probability;
  }
#pragma unroll
  for (int step = per_row / 2; step > 0; step /= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
  if (part == 0) {
    shrink[i] = maximum[i] == highest ? 1.0f : __expf(maximum[i] - highest);
    total[i] = total[i] * shrink[i] + sum;
    maximum[i] = highest;
  }
}

template <int Tile, class T>
__global__ void forward_kernel(AttentionForward<T> p) {
  const Tiles<Tile> tiles{p.head_dim};
  float* q = shared_memory<float>();
  float *k = q + tiles.floats(), *v = k + tiles.floats(), *o = v + tiles.floats();
  float* scores = o + tiles.floats();
  float *maximum = scores + score_floats(Tile), *total = maximum + Tile, *shrink = total + Tile;

  const HeadIndex at(blockIdx.x, heads_of(p));
  const int group = at.head / p.queries_per_group;
  const int64_t begin = int64_t{gridDim.y - 1 - blockIdx.y} * Tile;      // the longest rows first
  const int64_t end = min(begin + Tile, p.length), last = p.past + end;  // keys before `last`
  const int64_t keys = key_offset(p, at.sequence, group);
  tiles.fetch(q, p.q + query_offset(p, at.sequence, at.head), p.q_strides.token, begin, end);
  tiles.clear(o);
  if (threadIdx.x < Tile) {
    maximum[threadIdx.x] = -INFINITY;
    total[threadIdx.x] = 0;
  }
  for (int64_t j0 = first_key_of_tile(p, at.sequence, begin, end) / Tile * Tile; j0 < last;
       j0 += Tile) {
    __syncthreads();
    tiles.fetch(k, p.k + keys, p.kv_strides.token, j0, last);
    tiles.fetch(v, p.v + keys, p.kv_strides.token, j0, last);
    __syncthreads();
    for (int e = threadIdx.x; e < Tile * Tile; e += threads) {
      const int i = e / Tile, j = e % Tile;
      const int64_t query = begin + i, position = j0 + j;
      const bool seen =
          query < end && position <= p.past + query && position >= first_key(p, at.sequence, query);
      scores[i * (Tile + 1) + j] = seen ? p.scale * tiles.dot(q, i, k, j) : -INFINITY;
    }
    __syncthreads();
    softmax_step<Tile>(p, scores, maximum, total, shrink, at, begin, j0);
    __syncthreads();
    for (int e = threadIdx.x; e < Tile * p.head_dim; e += threads) {
      const int i = e / p.head_dim, c = e % p.head_dim;
      float sum = o[i * tiles.pitch() + c] * shrink[i];
      for (int j = 0; j < Tile; ++j) sum += scores[i * (Tile + 1) + j] * v[j * tiles.pitch() + c];
      o[i * tiles.pitch() + c] = sum;
    }
  }
  __syncthreads();
  for (int e = threadIdx.x; e < Tile * p.head_dim; e += threads)
    o[e / p.head_dim * tiles.pitch() + e % p.head_dim] /= total[e / p.head_dim];
  __syncthreads();
  const int64_t width = int64_t{heads_of(p)} * p.head_dim;
  tiles.put(o, p.out + at.sequence * p.length * width + int64_t{at.head} * p.head_dim, width, begin,
            end);
  const int64_t query = begin + threadIdx.x;
  if (p.lse && threadIdx.x < Tile && query < end)
    p.lse[(int64_t{at.head} * p.sequences + at.sequence) * p.length + query] =
        maximum[threadIdx.x] + logf(total[threadIdx.x]);
}

// --- backward

// What the scores of one tile of queries and one of keys need.
struct RowStats {
  const float *lse, *delta;  // of the head's sequence: [length]
};
template <class T>
__device__ RowStats stats_of(const AttentionBackward<T>& p, HeadIndex at) {
  const auto& f = p.forward;
  const int64_t first = (int64_t{at.head} * f.sequences + at.sequence) * f.length;
  return {f.lse + first, p.delta + first};
}

// probabilities (after dropout) and gradients of the scaled scores, both [Tile][Tile + 1]. The
// softmax's own gradient: dS = P * (dP - delta).
template <int Tile, class T>
__device__ void score_gradients(const AttentionForward<T>& p, const Tiles<Tile>& tiles,
                                HeadIndex at, RowStats stats, const float* q, const float* k,
                                const float* v, const float* dout, int64_t i0, int64_t j0,
                                float* probabilities, float* gradients) {
  for (int e = threadIdx.x; e < Tile * Tile; e += threads) {
    const int i = e / Tile, j = e % Tile;
    const int64_t query = i0 + i, position = j0 + j;
    float probability = 0, gradient = 0;
    if (query < p.length && position <= query && position >= first_key(p, at.sequence, query)) {
      probability = __expf(p.scale * tiles.dot(q, i, k, j) - stats.lse[query]);
      const float keep = p.mask.dropout > 0 ? kept(p, at.sequence, at.head, query, position) : 1.0f;
      gradient = probability * (keep * tiles.dot(dout, i, v, j) - stats.delta[query]) * p.scale;
      probability *= keep;
    }
    probabilities[i * (Tile + 1) + j] = probability;
    gradients[i * (Tile + 1) + j] = gradient;
  }
}

// sums[j] += sum over i of weights[i][j] * rows[i].
template <int Tile>
__device__ void add_by_column(const Tiles<Tile>& tiles, const float* weights, const float* rows,
                              float* sums) {
  for (int e = threadIdx.x; e < Tile * tiles.head_dim; e += threads) {
    const int j = e / tiles.head_dim, c = e % tiles.head_dim;
    float sum = 0;
    for (int i = 0; i < Tile; ++i) sum += weights[i * (Tile + 1) + j] * rows[i * tiles.pitch() + c];
    sums[j * tiles.pitch() + c] += sum;
  }
}

template <int Tile, class T>
__global__ void key_grad_kernel(AttentionBackward<T> b) {
  const AttentionForward<T>& p = b.forward;
  const Tiles<Tile> tiles{p.head_dim};
  float* q = shared_memory<float>();
  float *k = q + tiles.floats(), *v = k + tiles.floats(), *dout = v + tiles.floats();
  float *dk = dout + tiles.floats(), *dv = dk + tiles.floats();
  float *probabilities = dv + tiles.floats(), *gradients = probabilities + score_floats(Tile);

  const HeadIndex of(blockIdx.x, p.groups);
  const int64_t j0 = int64_t{blockIdx.y} * Tile, keys = key_offset(p, of.sequence, of.head);
  const int64_t width = int64_t{heads_of(p)} * p.head_dim;
  tiles.fetch(k, p.k + keys, p.kv_strides.token, j0, p.length);
  tiles.fetch(v, p.v + keys, p.kv_strides.token, j0, p.length);
  tiles.clear(dk);
  tiles.clear(dv);
  // Later queries than this look at none of these keys.
  const int64_t end = p.mask.window > 0 ? min(p.length, j0 + Tile - 1 + p.mask.window) : p.length;
  for (int within = 0; within < p.queries_per_group; ++within) {
    HeadIndex at = of;
    at.head = of.head * p.queries_per_group + within;
    for (int64_t i0 = j0; i0 < end; i0 += Tile) {
      __syncthreads();
      tiles.fetch(q, p.q + query_offset(p, at.sequence, at.head), p.q_strides.token, i0, p.length);
      tiles.fetch(dout, b.dout + at.sequence * p.length * width + int64_t{at.head} * p.head_dim,
                  width, i0, p.length);
      __syncthreads();
      score_gradients<Tile>(p, tiles, at, stats_of(b, at), q, k, v, dout, i0, j0, probabilities,
                            gradients);
      __syncthreads();
      add_by_column<Tile>(tiles, probabilities, dout, dv);
      add_by_column<Tile>(tiles, gradients, q, dk);
    }
  }
  __syncthreads();
  tiles.put(dk, b.dk + keys, p.kv_strides.token, j0, p.length);
  tiles.put(dv, b.dv + keys, p.kv_strides.token, j0, p.length);
}

template <int Tile, class T>
__global__ void query_grad_kernel(AttentionBackward<T> b) {
  const AttentionForward<T>& p = b.forward;
  const Tiles<Tile> tiles{p.head_dim};
  float* q = shared_memory<float>();
  float *k = q + tiles.floats(), *v = k + tiles.floats(), *dout = v + tiles.floats();
  float* dq = dout + tiles.floats();
  float *probabilities = dq + tiles.floats(), *gradients = probabilities + score_floats(Tile);

  const HeadIndex at(blockIdx.x, heads_of(p));
  const int64_t i0 = int64_t{gridDim.y - 1 - blockIdx.y} * Tile, end = min(i0 + Tile, p.length);
  const int64_t queries = query_offset(p, at.sequence, at.head);
  const int64_t keys = key_offset(p, at.sequence, at.head / p.queries_per_group);
  const int64_t width = int64_t{heads_of(p)} * p.head_dim;
  tiles.fetch(q, p.q + queries, p.q_strides.token, i0, end);
  tiles.fetch(dout, b.dout + at.sequence * p.length * width + int64_t{at.head} * p.head_dim, width,
              i0, end);
  tiles.clear(dq);
  for (int64_t j0 = first_key_of_tile(p, at.sequence, i0, end) / Tile * Tile; j0 < end;
       j0 += Tile) {
    __syncthreads();
    tiles.fetch(k, p.k + keys, p.kv_strides.token, j0, end);
    tiles.fetch(v, p.v + keys, p.kv_strides.token, j0, end);
    __syncthreads();
    score_gradients<Tile>(p, tiles, at, stats_of(b, at), q, k, v, dout, i0, j0, probabilities,
                          gradients);
    __syncthreads();
    for (int e = threadIdx.x; e < Tile * p.head_dim; e += threads) {
      const int i = e / p.head_dim, c = e % p.head_dim;
      float sum = 0;
      for (int j = 0; j < Tile; ++j)
        sum += gradients[i * (Tile + 1) + j] * k[j * tiles.pitch() + c];
      dq[i * tiles.pitch() + c] += sum;
    }
  }
  __syncthreads();
  tiles.put(dq, b.dq + queries, p.q_strides.token, i0, end);
}

// --- sizes

// start(tile): smaller tiles for heads of which larger ones would not fit into 99 KiB, the least
// that a block may have on any device from compute capability 8.0 on.
template <class Start>
void with_tile(int head_dim, Start start) {
  if (head_dim <= 112)
    start(std::integral_constant<int, 32>{});
  else
    start(std::integral_constant<int, 16>{});
}

template <int Tile>
size_t shared_bytes(int head_dim, int tiles, int scores) {
  return (static_cast<size_t>(tiles) * Tiles<Tile>{head_dim}.floats() +
          static_cast<size_t>(scores) * score_floats(Tile) + 3 * Tile) *
         sizeof(float);
}

}  // namespace

template <class T>
void attention_plain(cudaStream_t stream, const AttentionForward<T>& p) {
  with_tile(p.head_dim, [&](auto tile) {
    constexpr int Tile = decltype(tile)::value;
    const auto heads = static_cast<unsigned>(p.sequences * p.groups * p.queries_per_group);
    launch(stream, dim3(heads, blocks_for(p.length, Tile)), threads,
           shared_bytes<Tile>(p.head_dim, 4, 1), forward_kernel<Tile, T>, p);
  });
}

template <class T>
void attention_plain_grad(cudaStream_t stream, const AttentionBackward<T>& b) {
  const AttentionForward<T>& p = b.forward;
  attention_delta(stream, b);
  with_tile(p.head_dim, [&](auto tile) {
    constexpr int Tile = decltype(tile)::value;
    const auto groups = static_cast<unsigned>(p.sequences * p.groups);
    const auto heads = groups * static_cast<unsigned>(p.queries_per_group);
    const unsigned tiles = blocks_for(p.length, Tile);
    launch(stream, dim3(groups, tiles), threads, shared_bytes<Tile>(p.head_dim, 6, 2),
           key_grad_kernel<Tile, T>, b);
    launch(stream, dim3(heads, tiles), threads, shared_bytes<Tile>(p.head_dim, 5, 2),
           query_grad_kernel<Tile, T>, b);
  });
}

template void attention_plain(cudaStream_t, const AttentionForward<float>&);
template void attention_plain(cudaStream_t, const AttentionForward<bf16>&);
template void attention_plain_grad(cudaStream_t, const AttentionBackward<float>&);
template void attention_plain_grad(cudaStream_t, const AttentionBackward<bf16>&);

}  // namespace katman::kernels
