// Sums over the rows of a matrix, column by column: the gradients of biases and of norms. The rows
// are cut into parts as their number alone says; a block sums a part of some columns, and a second
// kernel adds the parts in order, so that the result never depends on time.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

// How many parts `rows` are cut into: scratch holds [parts, outputs, width] floats.
int64_t column_parts(int64_t rows);

// db[width] += sum of dy's rows. scratch: [parts, width].
template <class T>
void bias_grad(cudaStream_t stream, const T* dy, float* db, int64_t rows, int width,
               float* scratch);

// dgamma[width] += sum of dy * xhat, dbeta[width] += sum of dy. mean and dbeta are nullptr for an
// RMS norm. scratch: [parts, 2, width].
template <class T>
void norm_parameter_grad(cudaStream_t stream, const T* dy, const T* x, const float* mean,
                         const float* rstd, float* dgamma, float* dbeta, int64_t rows, int width,
                         float* scratch);

}  // namespace katman::kernels
