// The optimizer's arithmetic over flat f32 buckets; bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

// How many doubles sum() and sum_squares() need as scratch for n elements: a sum per block, which
// one block then adds in order. It depends on n alone.
int64_t sum_blocks(int64_t n);

// *out += sum of x, or of its squares.
void sum(cudaStream_t stream, const float* x, int64_t n, double* scratch, float* out);
void sum_squares(cudaStream_t stream, const float* x, int64_t n, double* scratch, float* out);

// See AdamW in core/backend.h; unbias1 = 1 / (1 - beta1^t), unbias2 likewise.
struct AdamWStep {
  float *master, *m, *v;
  const float* grad;
  float rate, beta1, beta2, epsilon, decay, grad_scale, unbias1, unbias2;
};
// value: the copy that forward passes read; may be master itself.
template <class T>
void adamw(cudaStream_t stream, const AdamWStep& step, T* value, int64_t n);

}  // namespace katman::kernels
