#include <algorithm>

#include "core/cuda/kernels/columns.h"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/reduce.cuh"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int warps = 8;  // of a block, each taking every eighth row of the part
constexpr int64_t rows_of_part = 128;
constexpr int64_t most_parts = 128;  // about what fills a device

// What a row adds to each output, for the N columns from `column` on.
template <class T>
struct BiasTerms {
  static constexpr int outputs = 1;
  const T* dy;
  int width;

  template <int N>
  __device__ void add(int64_t row, int column, float (&sums)[1][N]) const {
    const auto pack = load<T, N>(dy + row * width + column);
#pragma unroll
    for (int i = 0; i < N; ++i) sums[0][i] += widen(pack.value[i]);
  }
};

template <class T>
struct NormTerms {
  static constexpr int outputs = 2;
  const T *dy, *x;
  const float *mean, *rstd;
  int width;

  template <int N>
  __device__ void add(int64_t row, int column, float (&sums)[2][N]) const {
    const auto gradient = load<T, N>(dy + row * width + column);
    const auto in = load<T, N>(x + row * width + column);
    const float centre = mean ? mean[row] : 0, r = rstd[row];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float g = widen(gradient.value[i]);
      sums[0][i] += g * ((widen(in.value[i]) - centre) * r);
      sums[1][i] += g;
    }
  }
};

// partial[part][output][column], for the part blockIdx.y and 32 packs of columns.
template <int N, class Terms>
__global__ void part_kernel(Terms terms, int64_t rows, int width, float* partial) {
  constexpr int outputs = Terms::outputs;
  __shared__ float shared[warps][outputs][warp_threads * N];
  const int lane = threadIdx.x % warp_threads, warp = threadIdx.x / warp_threads;
  const int column = (blockIdx.x * warp_threads + lane) * N;
  const int64_t begin = rows * blockIdx.y / gridDim.y, end = rows * (blockIdx.y + 1) / gridDim.y;
  float sums[outputs][N] = {};
  if (column < width) {
#pragma unroll 4
    for (int64_t row = begin + warp; row < end; row += warps) terms.add(row, column, sums);
  }
#pragma unroll
  for (int output = 0; output < outputs; ++output)
#pragma unroll
    for (int i = 0; i < N; ++i) shared[warp][output][i * warp_threads + lane] = sums[output][i];
  __syncthreads();
  for (int at = threadIdx.x; at < outputs * warp_threads * N; at += blockDim.x) {
    const int output = at / (warp_threads * N), slot = at % (warp_threads * N);
    const int to = (blockIdx.x * warp_threads + slot % warp_threads) * N + slot / warp_threads;
    float total = 0;
#pragma unroll
    for (int w = 0; w < warps; ++w) total += shared[w][output][slot];
    if (to < width) partial[(int64_t{blockIdx.y} * outputs + output) * width + to] = total;
  }
}

// out[column] += the parts in order: eight warps sum every eighth part of 32 columns.
__global__ void finish_kernel(const float* partial, int parts, int outputs, int width, float* first,
                              float* second) {
  __shared__ float shared[warps][warp_threads];
  const int lane = threadIdx.x % warp_threads, warp = threadIdx.x / warp_threads;
  const int column = blockIdx.x * warp_threads + lane, output = blockIdx.y;
  float* const out = output == 0 ? first : second;
  float total = 0;
  if (column < width) {
#pragma unroll 8
    for (int part = warp; part < parts; part += warps)
      total += partial[(int64_t{part} * outputs + output) * width + column];
  }
  shared[warp][lane] = total;
  __syncthreads();
  if (warp != 0 || column >= width || out == nullptr) return;
  total = 0;
#pragma unroll
  for (int w = 0; w < warps; ++w) total += shared[w][lane];
  out[column] += total;
}

template <int N, class Terms>
void sum_columns(cudaStream_t stream, const Terms& terms, int64_t rows, int width, float* scratch,
                 float* first, float* second) {
  const auto parts = static_cast<unsigned>(column_parts(rows));
  launch(stream, dim3(blocks_for(width, N * warp_threads), parts), warps * warp_threads, 0,
         part_kernel<N, Terms>, terms, rows, width, scratch);
  launch(stream, dim3(blocks_for(width, warp_threads), Terms::outputs), warps * warp_threads, 0,
         finish_kernel, scratch, static_cast<int>(parts), Terms::outputs, width, first, second);
}

}  // namespace

int64_t column_parts(int64_t rows) {
  return std::clamp<int64_t>((rows + rows_of_part - 1) / rows_of_part, 1, most_parts);
}

template <class T>
void bias_grad(cudaStream_t stream, const T* dy, float* db, int64_t rows, int width,
               float* scratch) {
  const BiasTerms<T> terms{dy, width};
  if (can_pack(width, dy))
    sum_columns<pack_of<T>>(stream, terms, rows, width, scratch, db, nullptr);
  else
    sum_columns<1>(stream, terms, rows, width, scratch, db, nullptr);
}

template <class T>
void norm_parameter_grad(cudaStream_t stream, const T* dy, const T* x, const float* mean,
                         const float* rstd, float* dgamma, float* dbeta, int64_t rows, int width,
                         float* scratch) {
  const NormTerms<T> terms{dy, x, mean, rstd, width};
  constexpr int N = 4;  // eight would leave too few blocks, and need more shared memory
  if (width % N == 0 && can_pack(16, dy, x))
    sum_columns<N>(stream, terms, rows, width, scratch, dgamma, dbeta);
  else
    sum_columns<1>(stream, terms, rows, width, scratch, dgamma, dbeta);
}

template void bias_grad(cudaStream_t, const float*, float*, int64_t, int, float*);
template void bias_grad(cudaStream_t, const bf16*, float*, int64_t, int, float*);
template void norm_parameter_grad(cudaStream_t, const float*, const float*, const float*,
                                  const float*, float*, float*, int64_t, int, float*);
template void norm_parameter_grad(cudaStream_t, const bf16*, const bf16*, const float*,
                                  const float*, float*, float*, int64_t, int, float*);

}  // namespace katman::kernels
