// Operands of products as 8-bit floats: core/fp8.h says what they are.
#pragma once

#include <cuda_runtime.h>

#include "core/backend.h"

namespace katman {

// A matrix that tensor cores for 8-bit floats read.
struct Fp8Codes {
  Tensor codes;    // u8
  Tensor inverse;  // f32 [1]: a code's value is to be multiplied with it
};

// Of x, bf16 [rows, columns], or of its transpose. Both extents are multiples of 16.
Fp8Codes encoded(Backend& backend, const Tensor& x, Fp8 fp8, bool transposed, cudaStream_t stream);
// The rounded values, in x's shape and type.
Tensor rounded(Backend& backend, const Tensor& x, Fp8 fp8, cudaStream_t stream);

}  // namespace katman
