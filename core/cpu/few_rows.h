// The product of a few rows of activations with a weight as it lies in memory.
#pragma once

#include "core/backend.h"
#include "core/check.h"

namespace katman {

// Rows up to which the time is that of reading the weight once, whatever is done with it: then a
// packed copy would only be one more thing to make.
constexpr int64_t most_few_rows = 8;

// Whether multiply_few_rows() is the way to go: at most that many rows, and B a weight [n, k].
bool is_few_rows(const Gemm& g, const GemmSize& size);

// C = A B^T (+ bias), summed in f32, rounded once. Splits B's rows over the threads.
void multiply_few_rows(const Gemm& g, const GemmSize& size, bool bias, Pool& pool, int threads);

}  // namespace katman
