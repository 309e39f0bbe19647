// How kernels are started, and what all of them share. The kernels use no more of CUDA than
// tests/emulated_cuda provides: there the same sources are compiled for the host, threads become
// fibers, and the conformance suite runs every kernel on a machine without a GPU.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "core/bf16.h"
#include "core/cuda/check.h"

namespace katman {

// What a block may use without asking for more.
constexpr size_t default_shared_bytes = 48 << 10;

// Enqueues kernel(args...) on `grid` blocks of `block` threads, each block with `shared_bytes` of
// dynamic shared memory. An empty grid is no work. Throws Error when CUDA refuses.
template <class... Params, class... Args>
void launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes,
            void (*kernel)(Params...), Args... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared_bytes > default_shared_bytes)
    cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               "give a kernel its shared memory");
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cuda_check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), "start a kernel");
}

// The block's dynamic shared memory, aligned for every copy.
template <class T>
__device__ T* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ __align__(128) unsigned char katman_shared[];
  return reinterpret_cast<T*>(katman_shared);
#else
  return reinterpret_cast<T*>(emulated::shared_memory());
#endif
}

// ceil(n / per) as a grid extent.
inline unsigned blocks_for(int64_t n, int64_t per) {
  return static_cast<unsigned>((n + per - 1) / per);
}

}  // namespace katman
