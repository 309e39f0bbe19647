#include "core/cuda/kernels/functions.cuh"
#include "core/cuda/kernels/gemm.h"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int tile = 64, depth = 16;  // of C, and of k at a time
constexpr int side = 16;              // threads per side of a tile; each owns 4 x 4 elements
constexpr int own = tile / side;
constexpr int threads = side * side;

template <class T>
__device__ float element(const Strided<T>& matrix, int64_t i, int64_t j, int64_t rows,
                         int64_t columns) {
  if (i >= rows || j >= columns) return 0;
  return widen(matrix.data[i * matrix.row_stride + j * matrix.column_stride]);
}

template <class In, class Out>
__device__ void finish(const PlainGemm<In, Out>& p, int64_t i, int64_t j, float value) {
  if (i >= p.m || j >= p.n) return;
  const int64_t at = i * p.n + j;
  if (p.accumulate) value += widen(p.c[at]);
  if (p.bias) value += widen(p.bias[j]);
  if (p.gelu_grad) {
    value *= gelu_derivative(widen(p.aux[at]));
  } else if (p.aux) {
    p.aux[at] = narrow<Out>(value);
    value = gelu_value(widen(p.aux[at]));
  }
  p.c[at] = narrow<Out>(value);
}

template <class In, class Out>
__global__ void gemm_kernel(PlainGemm<In, Out> p) {
  __shared__ float a[depth][tile + 1], b[depth][tile + 1];
  const int tx = threadIdx.x % side, ty = threadIdx.x / side;
  const int64_t row = int64_t{blockIdx.x} * tile, column = int64_t{blockIdx.y} * tile;
  float sums[own][own] = {};
  for (int64_t begin = 0; begin < p.k; begin += depth) {
    for (int at = threadIdx.x; at < depth * tile; at += threads) {
      const int q = at % depth, i = at / depth;
      a[q][i] = element(p.a, row + i, begin + q, p.m, p.k);
    }
    for (int at = threadIdx.x; at < depth * tile; at += threads) {
      const int j = at % tile, q = at / tile;
      b[q][j] = element(p.b, begin + q, column + j, p.k, p.n);
    }
    __syncthreads();
#pragma unroll
    for (int q = 0; q < depth; ++q)
#pragma unroll
      for (int i = 0; i < own; ++i)
#pragma unroll
        for (int j = 0; j < own; ++j) sums[i][j] += a[q][ty + i * side] * b[q][tx + j * side];
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < own; ++i)
#pragma unroll
    for (int j = 0; j < own; ++j)
      finish(p, row + ty + i * side, column + tx + j * side, sums[i][j]);
}

}  // namespace

template <class In, class Out>
void gemm(cudaStream_t stream, const PlainGemm<In, Out>& p) {
  launch(stream, dim3(blocks_for(p.m, tile), blocks_for(p.n, tile)), threads, 0,
         gemm_kernel<In, Out>, p);
}

template void gemm(cudaStream_t, const PlainGemm<float, float>&);
template void gemm(cudaStream_t, const PlainGemm<bf16, bf16>&);
template void gemm(cudaStream_t, const PlainGemm<bf16, float>&);

}  // namespace katman::kernels
