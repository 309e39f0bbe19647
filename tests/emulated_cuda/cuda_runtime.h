// CUDA without a GPU, for tests. The library core/cuda compiles against this header with the host
// compiler, unchanged, and runs: kernels block by block with every thread a fiber, streams as
// queues, cuBLASLt (see cublasLt.h here) as plain loops, CUPTI as a list. So every kernel is held
// against the reference on any machine, under sanitizers if wanted. It is as unkind as the real
// thing may be:
//
//   * Fibers are resumed in another random order in every block, and each runs until it must wait:
//     a missing barrier shows as wrong results, or as two runs that differ.
//   * A barrier that some threads never reach, and warp operations that not all named lanes reach
//     together, stop the program with a sentence.
//   * Streams do nothing until something waits for them, in the latest order that is allowed: a
//     missing event shows. Device memory and shared memory start as NaN.
//   * Limits are kept: 1024 threads, 65535 blocks in y and z, 48 KiB of shared memory unless the
//     kernel was granted more, 99 KiB at most; asynchronous copies arrive when they are waited
//     for.
//
// What it cannot show: races between blocks that run at the same time, memory models, speed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "tests/emulated_cuda/fibers.h"
#include "tests/emulated_cuda/tensor_core.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

#define CUDART_VERSION 13000

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
using cudaStream_t = struct emulated_stream*;
using cudaEvent_t = struct emulated_event*;

struct cudaUUID_t {
  char bytes[16];
};
struct cudaDeviceProp {
  char name[256];
  cudaUUID_t uuid;
  size_t totalGlobalMem, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMalloc(void** block, size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaMallocHost(void** block, size_t bytes);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

namespace emulated {

// Appends work to a stream.
void enqueue(cudaStream_t stream, std::function<void()> work);
cudaError_t check_launch(const cudaLaunchConfig_t& config, const void* kernel);
cudaError_t grant_shared(const void* kernel, int bytes);
// What streams do, told as they do it to whoever observes: `name` of a kernel is the mangled type
// of its function. The emulated clock goes by activities: each takes a little less than the one
// before, so that of two equal ones the later looks faster, and a tenth of its time passes idly.
struct Activity {
  enum class Kind { kernel, copy, fill } kind;
  const char* name;
  unsigned long begin_ns, end_ns;
};
void observe(std::function<void(const Activity&)> observer);  // empty: nobody
void tell(Activity::Kind kind, const char* name);
// Runs thread() for every thread of every block.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread);

}  // namespace emulated

template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...),
                               Args&&... args) {
  const cudaError_t allowed =
      emulated::check_launch(*config, reinterpret_cast<const void*>(kernel));
  if (allowed != cudaSuccess) return allowed;
  emulated::enqueue(config->stream, [grid = config->gridDim, block = config->blockDim,
                                     shared = config->dynamicSmemBytes, kernel,
                                     ... values = static_cast<Params>(std::forward<Args>(args))] {
    emulated::tell(emulated::Activity::Kind::kernel, typeid(void(Params...)).name());
    emulated::run_grid(grid, block, shared, [&] { kernel(values...); });
  });
  return cudaSuccess;
}
template <class... Params>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Params...), cudaFuncAttribute, int value) {
  return emulated::grant_shared(reinterpret_cast<const void*>(kernel), value);
}

// --- what threads of a kernel may call

inline void __syncthreads() { emulated::barrier(); }
inline void __syncwarp(unsigned lanes = ~0u) {
  emulated::together("__syncwarp", lanes, nullptr, 0);
}

namespace emulated {

template <class T>
T shuffle(const char* name, unsigned lanes, T value, unsigned from) {
  const auto* values = static_cast<const T*>(together(name, lanes, &value, sizeof value));
  return values[from % 32];
}

}  // namespace emulated

template <class T>
T __shfl_sync(unsigned lanes, T value, int from) {
  return emulated::shuffle("__shfl_sync", lanes, value, static_cast<unsigned>(from));
}
template <class T>
T __shfl_xor_sync(unsigned lanes, T value, int mask) {
  return emulated::shuffle("__shfl_xor_sync", lanes, value, emulated::lane() ^ mask);
}
template <class T>
T __shfl_down_sync(unsigned lanes, T value, unsigned delta) {
  const unsigned from = emulated::lane() + delta;
  return emulated::shuffle("__shfl_down_sync", lanes, value, from < 32 ? from : emulated::lane());
}
inline unsigned __ballot_sync(unsigned lanes, int predicate) {
  const auto* all =
      static_cast<const int*>(emulated::together("__ballot_sync", lanes, &predicate, sizeof(int)));
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (lanes >> lane & 1 && all[lane]) result |= 1u << lane;
  return result;
}
inline int __any_sync(unsigned lanes, int predicate) {
  return __ballot_sync(lanes, predicate) != 0;
}
inline int __all_sync(unsigned lanes, int predicate) {
  return __ballot_sync(lanes, predicate) == lanes;
}

inline float __expf(float x) { return std::exp(x); }

inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
using std::max;
using std::min;
