// Sums and maxima over the threads of a warp or a block, in an order that is always the same.
#pragma once

#include <cuda_runtime.h>

namespace katman {

constexpr unsigned all_lanes = 0xffffffffu;
constexpr int warp_threads = 32;

// Every lane gets the same bits.
template <class T>
__device__ T warp_sum(T x) {
#pragma unroll
  for (int step = warp_threads / 2; step > 0; step /= 2) x += __shfl_xor_sync(all_lanes, x, step);
  return x;
}
__device__ inline float warp_max(float x) {
#pragma unroll
  for (int step = warp_threads / 2; step > 0; step /= 2)
    x = fmaxf(x, __shfl_xor_sync(all_lanes, x, step));
  return x;
}

// Over a one-dimensional block of whole warps; every thread gets the result. scratch: shared, one
// value per warp, free again when it returns.
template <class T>
__device__ T block_sum(T x, T* scratch) {
  const int lane = threadIdx.x % warp_threads, warps = blockDim.x / warp_threads;
  x = warp_sum(x);
  if (lane == 0) scratch[threadIdx.x / warp_threads] = x;
  __syncthreads();
  x = warp_sum(lane < warps ? scratch[lane] : T(0));
  __syncthreads();
  return x;
}
__device__ inline float block_max(float x, float* scratch) {
  const int lane = threadIdx.x % warp_threads, warps = blockDim.x / warp_threads;
  x = warp_max(x);
  if (lane == 0) scratch[threadIdx.x / warp_threads] = x;
  __syncthreads();
  x = warp_max(lane < warps ? scratch[lane] : -INFINITY);
  __syncthreads();
  return x;
}

}  // namespace katman
