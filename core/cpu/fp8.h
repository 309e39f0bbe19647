// Operands of products, rounded to 8-bit floats: an imitation, to see what training under it does.
#pragma once

#include "core/backend.h"

namespace katman {

// A copy of x, f32 or bf16 as x is (bf16 holds every rounded value), of which each element is what
// Gemm says of an operand with `fp8`.
Tensor rounded_to_fp8(Backend& backend, const Tensor& x, Fp8 fp8, int threads);

}  // namespace katman
