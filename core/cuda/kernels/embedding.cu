#include <algorithm>
#include <bit>

#include "core/cuda/kernels/embedding.h"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256;

template <int N, class T>
__global__ void embed_kernel(Tokens tokens, const T* table, const T* positions, Positions place,
                             T* y, int64_t width) {
  const int64_t packs = width / N, at = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (at >= tokens.count * packs) return;
  const int64_t row = at / packs, column = at % packs * N;
  const int64_t word = tokens.ids[row] - tokens.vocab_begin;
  Pack<T, N> out = {};
  if (word >= 0 && word < tokens.vocab_rows) out = load<T, N>(table + word * width + column);
  if (positions) {
    const int64_t position = place.first + row % place.length;
    const auto other = load<T, N>(positions + position * width + column);
#pragma unroll
    for (int i = 0; i < N; ++i)
      out.value[i] = narrow<T>(widen(out.value[i]) + widen(other.value[i]));
  }
  store(out, y + row * width + column);
}

// --- sorting

constexpr int64_t tile = 2048;  // keys that one block sorts in shared memory
constexpr int tile_threads = tile / 2;
constexpr uint64_t not_mine = ~uint64_t{0};

// Bitonic networks: keys `span` apart are put in order, ascending where bit `run` of the index is
// 0.
__device__ void order_pair(uint64_t& low, uint64_t& high, int64_t low_index, int64_t run) {
  const bool ascending = (low_index & run) == 0;
  if ((low > high) == ascending) {
    const uint64_t other = low;
    low = high;
    high = other;
  }
}
// The lower index of pair number `pair` of a network of this span.
__device__ int64_t low_of(int64_t pair, int64_t span) {
  return pair / span * span * 2 + pair % span;
}

// In shared memory: all spans below the tile's size for runs from first_run to last_run.
__device__ void sort_tile(uint64_t* keys, uint64_t* shared, int64_t first_run, int64_t last_run) {
  const int64_t begin = int64_t{blockIdx.x} * tile;
  const int thread = threadIdx.x;
  for (int64_t run = first_run; run <= last_run; run *= 2)
    for (int64_t span = min(run, tile) / 2; span > 0; span /= 2) {
      const int64_t low = low_of(thread, span);
      order_pair(shared[low], shared[low + span], begin + low, run);
      __syncthreads();
    }
  keys[begin + thread] = shared[thread];
  keys[begin + thread + tile_threads] = shared[thread + tile_threads];
}

__global__ void __launch_bounds__(tile_threads) make_keys_kernel(Tokens tokens, uint64_t* keys) {
  __shared__ uint64_t shared[tile];
  const int64_t begin = int64_t{blockIdx.x} * tile;
  for (int64_t i = threadIdx.x; i < tile; i += tile_threads) {
    const int64_t row = begin + i;
    shared[i] = not_mine;
    if (row >= tokens.count) continue;
    const int64_t word = tokens.ids[row] - tokens.vocab_begin;
    if (word >= 0 && word < tokens.vocab_rows)
      shared[i] = static_cast<uint64_t>(word) << 32 | static_cast<uint64_t>(row);
  }
  __syncthreads();
  sort_tile(keys, shared, 2, tile);
}

__global__ void __launch_bounds__(tile_threads) merge_tile_kernel(uint64_t* keys, int64_t run) {
  __shared__ uint64_t shared[tile];
  const int64_t begin = int64_t{blockIdx.x} * tile;
  for (int64_t i = threadIdx.x; i < tile; i += tile_threads) shared[i] = keys[begin + i];
  __syncthreads();
  sort_tile(keys, shared, run, run);
}

__global__ void merge_far_kernel(uint64_t* keys, int64_t run, int64_t span) {
  const int64_t low = low_of(int64_t{blockIdx.x} * blockDim.x + threadIdx.x, span);
  uint64_t a = keys[low], b = keys[low + span];
  order_pair(a, b, low, run);
  keys[low] = a;
  keys[low + span] = b;
}

// --- gradients

constexpr int grad_threads = 128;

template <int N, class T>
__device__ void add_row(float (&sums)[N], const T* row) {
  const auto pack = load<T, N>(row);
#pragma unroll
  for (int i = 0; i < N; ++i) sums[i] += widen(pack.value[i]);
}
template <int N>
__device__ void add_to(float* to, const float (&sums)[N]) {
  auto pack = load<float, N>(to);
#pragma unroll
  for (int i = 0; i < N; ++i) pack.value[i] += sums[i];
  store(pack, to);
}

// The block of the first of an id's keys adds all of them; the other blocks have nothing to do.
template <int N, class T>
__global__ void embed_grad_kernel(const T* dy, const uint64_t* keys, int64_t count, float* dtable,
                                  int64_t width) {
  constexpr int ahead = 8;
  const int64_t first = blockIdx.x;
  const int64_t column = (int64_t{blockIdx.y} * grad_threads + threadIdx.x) * N;
  const uint64_t key = keys[first], id = key >> 32;
  if (key == not_mine || column >= width || (first > 0 && keys[first - 1] >> 32 == id)) return;
  const auto row_of = [&](int64_t at) {
    return dy + static_cast<int64_t>(keys[at] & 0xffffffffu) * width + column;
  };
  float sums[N] = {};
  int64_t at = first;
  for (; at + ahead <= count && keys[at + ahead - 1] >> 32 == id; at += ahead)
#pragma unroll
    for (int i = 0; i < ahead; ++i) add_row<N>(sums, row_of(at + i));
  for (; at < count && keys[at] >> 32 == id; ++at) add_row<N>(sums, row_of(at));
  add_to<N>(dtable + static_cast<int64_t>(id) * width + column, sums);
}

template <int N, class T>
__global__ void positions_grad_kernel(const T* dy, int64_t rows, Positions place, float* dpositions,
                                      int64_t width) {
  const int64_t packs = width / N, at = int64_t{blockIdx.x} * threads + threadIdx.x;
  const int64_t position = at / packs, column = at % packs * N;
  if (position >= place.length || position >= rows) return;
  float sums[N] = {};
  for (int64_t row = position; row < rows; row += place.length)
    add_row<N>(sums, dy + row * width + column);
  add_to<N>(dpositions + (place.first + position) * width + column, sums);
}

}  // namespace

template <class T>
void embed(cudaStream_t stream, const Tokens& tokens, const T* table, const T* positions,
           const Positions& place, T* y, int64_t width) {
  constexpr int N = pack_of<T>;
  if (can_pack(width, table, positions, y))
    launch(stream, blocks_for(tokens.count * (width / N), threads), threads, 0, embed_kernel<N, T>,
           tokens, table, positions, place, y, width);
  else
    launch(stream, blocks_for(tokens.count * width, threads), threads, 0, embed_kernel<1, T>,
           tokens, table, positions, place, y, width);
}

int64_t sorted_keys(int64_t count) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(count, tile))));
}

void sort_tokens(cudaStream_t stream, const Tokens& tokens, uint64_t* keys) {
  const int64_t size = sorted_keys(tokens.count);
  const auto tiles = static_cast<unsigned>(size / tile);
  launch(stream, tiles, tile_threads, 0, make_keys_kernel, tokens, keys);
  for (int64_t run = 2 * tile; run <= size; run *= 2) {
    for (int64_t span = run / 2; span >= tile; span /= 2)
      launch(stream, blocks_for(size / 2, threads), threads, 0, merge_far_kernel, keys, run, span);
    launch(stream, tiles, tile_threads, 0, merge_tile_kernel, keys, run);
  }
}

template <class T>
void embed_grad(cudaStream_t stream, const T* dy, const uint64_t* keys, int64_t count,
                float* dtable, int64_t width) {
  constexpr int N = 4;
  const auto start = [&](auto kernel, int n) {
    const dim3 grid(static_cast<unsigned>(count), blocks_for(width, int64_t{grad_threads} * n));
    launch(stream, grid, grad_threads, 0, kernel, dy, keys, count, dtable, width);
  };
  if (width % N == 0 && can_pack(16, dy, dtable))
    start(embed_grad_kernel<N, T>, N);
  else
    start(embed_grad_kernel<1, T>, 1);
}

template <class T>
void positions_grad(cudaStream_t stream, const T* dy, int64_t rows, const Positions& place,
                    float* dpositions, int64_t width) {
  constexpr int N = 4;
  const int64_t used = std::min(place.length, rows);
  if (width % N == 0 && can_pack(16, dy, dpositions))
    launch(stream, blocks_for(used * (width / N), threads), threads, 0, positions_grad_kernel<N, T>,
           dy, rows, place, dpositions, width);
  else
    launch(stream, blocks_for(used * width, threads), threads, 0, positions_grad_kernel<1, T>, dy,
           rows, place, dpositions, width);
}

template void embed(cudaStream_t, const Tokens&, const float*, const float*, const Positions&,
                    float*, int64_t);
template void embed(cudaStream_t, const Tokens&, const bf16*, const bf16*, const Positions&, bf16*,
                    int64_t);
template void embed_grad(cudaStream_t, const float*, const uint64_t*, int64_t, float*, int64_t);
template void embed_grad(cudaStream_t, const bf16*, const uint64_t*, int64_t, float*, int64_t);
template void positions_grad(cudaStream_t, const float*, int64_t, const Positions&, float*,
                             int64_t);
template void positions_grad(cudaStream_t, const bf16*, int64_t, const Positions&, float*, int64_t);

}  // namespace katman::kernels
