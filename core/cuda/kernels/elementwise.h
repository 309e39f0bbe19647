// Operations that look at one element, or a few of one row, at a time; bound by memory. T is float
// or bf16; n and the shapes count elements; pointers are device memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"
#include "core/random.h"

namespace katman::kernels {

template <class From, class To>
void cast(cudaStream_t stream, const From* x, To* y, int64_t n);
template <class T>
void add(cudaStream_t stream, const T* x, const T* y, T* out, int64_t n);
template <class T>
void scale(cudaStream_t stream, T* x, float factor, int64_t n);
template <class T>
void gelu(cudaStream_t stream, const T* x, T* y, int64_t n);
template <class T>
void gelu_grad(cudaStream_t stream, const T* dy, const T* x, T* dx, int64_t n);

// x [rows, 2 * width], y [rows, width].
template <class T>
void swiglu(cudaStream_t stream, const T* x, T* y, int64_t rows, int64_t width);
template <class T>
void swiglu_grad(cudaStream_t stream, const T* dy, const T* x, T* dx, int64_t rows, int64_t width);

// Element (row, column) of x [rows, width] is number first + row * stride + column of the stream.
template <class T>
void dropout(cudaStream_t stream, T* x, float p, Key key, uint64_t first, int64_t stride,
             int64_t rows, int64_t width);

}  // namespace katman::kernels
