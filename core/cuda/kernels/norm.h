// Layer norm (Ba et al., 2016) and RMS norm (Zhang and Sennrich, 2019): a warp per row, one read of
// each input. T is float or bf16; width is the last extent.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

// y = (in - mean) * rstd * gamma + beta, with in = x, or x + residual rounded to T and written to
// sum. `mean` nullptr: an RMS norm, which has neither a mean nor a beta.
template <class T>
struct NormForward {
  const T *x, *residual, *gamma, *beta;
  T *sum, *y;
  float *mean, *rstd;
  float epsilon;
  int64_t rows;
  int width;
};
template <class T>
void norm(cudaStream_t stream, const NormForward<T>& p);

// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)) + dresidual with g = dy * gamma; the RMS norm's
// lacks mean(g). x is what was normalised.
template <class T>
struct NormBackward {
  const T *dy, *x, *gamma;
  const float *mean, *rstd;
  const T* dresidual;  // or nullptr
  T* dx;
  int64_t rows;
  int width;
};
template <class T>
void norm_grad(cudaStream_t stream, const NormBackward<T>& p);

}  // namespace katman::kernels
