// Tiles of tokens in shared memory and products of them on tensor cores, for blocks of four warps.
// A warp computes 16 rows of a product; what it computes stays in its registers.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/cuda/kernels/reduce.cuh"
#include "core/cuda/kernels/tensor_core.cuh"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {

constexpr int token_warps = 4, token_threads = token_warps * warp_threads;

// Tokens by D elements in shared memory. Chunks of 16 bytes are permuted within their row, so that
// the eight rows that ldmatrix reads at once lie in different banks.
template <int D>
__device__ bf16* chunk_at(bf16* tile, int row, int chunk) {
  return tile + row * D + ((chunk ^ (row & 7)) * 8);
}

// Starts fetching tokens [begin, begin + Rows) of a head; zeros from `end` on.
template <int Rows, int D>
__device__ void fetch(bf16* tile, const bf16* head, int64_t token_stride, int64_t begin,
                      int64_t end) {
  constexpr int chunks = D / 8;
  for (int at = threadIdx.x; at < Rows * chunks; at += token_threads) {
    const int row = at / chunks, chunk = at % chunks;
    const bool valid = begin + row < end;
    const bf16* from = valid ? head + (begin + row) * token_stride + chunk * 8 : head;
    copy_async(chunk_at<D>(tile, row, chunk), from, valid);
  }
}

// Sums of 16 rows by 8 N columns, as the tensor core leaves them.
template <int N>
struct Sums {
  float value[N][4];

  __device__ void clear() {
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) value[n][e] = 0;
  }
  // f(sum, half, column) for every element of this lane: half 0 is its first row, 1 the row 8 below.
  template <class F>
  __device__ void each(F f) {
    const int pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) f(value[n][e], e / 2, n * 8 + pair + e % 2);
  }
};

// sums = A B^T: A is 16 rows of `a` from first_row on, B is 8 N rows of `b`; both have D columns.
template <int D, int N>
__device__ void multiply_rows(Sums<N>& sums, bf16* a, int first_row, bf16* b) {
  const int lane = threadIdx.x % warp_threads, matrix = lane / 8, row = lane % 8;
  sums.clear();
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    uint32_t left[4], right[4];
    load_matrices(left, chunk_at<D>(a, first_row + matrix % 2 * 8 + row, 2 * k + matrix / 2));
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      load_matrices(right, chunk_at<D>(b, n * 8 + matrix / 2 * 8 + row, 2 * k + matrix % 2));
      multiply_add(sums.value[n], left, right[0], right[1]);
      multiply_add(sums.value[n + 1], left, right[2], right[3]);
    }
  }
}

// sums += P B: P is 16 rows by 8 K columns in registers, B is 8 K rows of `b`, of D columns.
template <int D, int K>
__device__ void multiply_registers(Sums<D / 8>& sums, const Sums<K>& p, bf16* b) {
  const int lane = threadIdx.x % warp_threads, matrix = lane / 8, row = lane % 8;
#pragma unroll
  for (int k = 0; k < K; k += 2) {
    const uint32_t left[4] = {pack_pair(p.value[k][0], p.value[k][1]),
                              pack_pair(p.value[k][2], p.value[k][3]),
                              pack_pair(p.value[k + 1][0], p.value[k + 1][1]),
                              pack_pair(p.value[k + 1][2], p.value[k + 1][3])};
#pragma unroll
    for (int n = 0; n < D / 8; n += 2) {
      uint32_t right[4];
      load_matrices_transposed(right, chunk_at<D>(b, k * 8 + matrix % 2 * 8 + row, n + matrix / 2));
      multiply_add(sums.value[n], left, right[0], right[1]);
      multiply_add(sums.value[n + 1], left, right[2], right[3]);
    }
  }
}

// Rounds a warp's sums and writes them to tokens begin + first_row ... of a head, by way of its own
// rows of `tile`, so that 16 bytes go at a time.
template <int D>
__device__ void put(Sums<D / 8>& sums, bf16* tile, int first_row, bf16* head, int64_t token_stride,
                    int64_t begin, int64_t end) {
  const int lane = threadIdx.x % warp_threads;
  __syncwarp();
#pragma unroll
  for (int n = 0; n < D / 8; ++n)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + lane / 4 + 8 * half;
      *reinterpret_cast<uint32_t*>(chunk_at<D>(tile, row, n) + lane % 4 * 2) =
          pack_pair(sums.value[n][2 * half], sums.value[n][2 * half + 1]);
    }
  __syncwarp();
  constexpr int chunks = D / 8;
  for (int at = lane; at < 16 * chunks; at += warp_threads) {
    const int row = first_row + at / chunks, chunk = at % chunks;
    if (begin + row < end)
      store(load<bf16, 8>(chunk_at<D>(tile, row, chunk)),
            head + (begin + row) * token_stride + chunk * 8);
  }
}

// Runs work(buffer, begin) for the tiles [first, end) of `step` tokens: fetch_tile(buffer, begin)
// starts the next one's copies before the work on this one.
template <class Fetch, class Work>
__device__ void stream_tiles(int64_t first, int64_t end, int step, Fetch fetch_tile, Work work) {
  if (first < end) fetch_tile(0, first);
  close_copies();
  int buffer = 0;
  for (int64_t begin = first; begin < end; begin += step, buffer ^= 1) {
    if (begin + step < end) fetch_tile(buffer ^ 1, begin + step);
    close_copies();
    wait_copies<1>();
    __syncthreads();
    work(buffer, begin);
    __syncthreads();
  }
}

}  // namespace katman::kernels
