// The sum over ranks, on a device; core/sum.h defines it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

// What is added, as one argument of a kernel.
template <class T>
struct Parts {
  static constexpr int most = 256;
  const T* part[most];
  int count = 0;
};

// out[i] = parts[0][i] + parts[1][i] + ... in that order, in f32, rounded once. out may be one of
// the parts.
template <class T>
void sum_parts(cudaStream_t stream, const Parts<T>& parts, T* out, int64_t n);

}  // namespace katman::kernels
