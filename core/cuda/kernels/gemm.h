// A matrix product for what cuBLASLt refuses: shapes and addresses that are aligned to nothing.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

// Element (i, j) lies at data[i * row_stride + j * column_stride].
template <class T>
struct Strided {
  const T* data = nullptr;
  int64_t row_stride = 0, column_stride = 0;
};

// See Gemm in core/backend.h: bias alone is Epilogue::bias, bias with aux is bias_gelu, aux with
// gelu_grad is gelu_grad.
template <class In, class Out>
struct PlainGemm {
  Strided<In> a, b;  // [m, k], [k, n]
  Out* c = nullptr;  // [m, n], as all that follow
  const In* bias = nullptr;
  Out* aux = nullptr;
  int64_t m = 0, n = 0, k = 0;
  bool accumulate = false, gelu_grad = false;
};

// Tiles of 64 x 64 in shared memory, f32 arithmetic: some 10 % of what the f32 units could do.
template <class In, class Out>
void gemm(cudaStream_t stream, const PlainGemm<In, Out>& p);

}  // namespace katman::kernels
