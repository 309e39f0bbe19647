// Operands of products as 8-bit floats: what core/fp8.h defines, for tensors in device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"
#include "core/fp8.h"

namespace katman::kernels {

// The largest size in a tensor, as parts that whoever needs it puts together: f32 [fp8_parts(n)].
int64_t fp8_parts(int64_t n);
template <class T>
void fp8_largest(cudaStream_t stream, const T* x, int64_t n, float* parts);

// A tensor [rows, columns] to be rounded by the scale that follows from its `parts`.
template <class T>
struct Fp8Source {
  const T* x = nullptr;
  int64_t rows = 0, columns = 0;
  const float* parts = nullptr;
  int count = 0;  // of parts
  Fp8 fp8 = Fp8::e4m3;
};

// Extents that the codes' kernels take are multiples of this, addresses of as many bytes.
constexpr int64_t fp8_alignment = 16;
// codes [rows, columns], or [columns, rows] when `transposed`; *inverse becomes 1 / scale.
void fp8_encode(cudaStream_t stream, const Fp8Source<bf16>& source, bool transposed, uint8_t* codes,
                float* inverse);
// y [rows, columns], of any size: the rounded values themselves.
template <class T>
void fp8_round(cudaStream_t stream, const Fp8Source<T>& source, T* y);

}  // namespace katman::kernels
