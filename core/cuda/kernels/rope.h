// Rotary positions (Su et al., 2021), halves as in Llama.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

// turns [length, 2, half]: cosines, then sines, of (first + i) * frequencies[c], in double.
void rope_turns(cudaStream_t stream, float* turns, int64_t length, int64_t half, int64_t first,
                const float* frequencies);

// Rotates q and k of rows [groups][q heads, k, v][2 * half] in place; direction -1 turns back.
struct RopeShape {
  int64_t rows, length, groups, queries_per_group, half;
};
template <class T>
void rope(cudaStream_t stream, T* qkv, const RopeShape& shape, const float* turns, float direction);

}  // namespace katman::kernels
