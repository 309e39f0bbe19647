// Cross-entropy over rows of logits, a block per row; the gradient takes the logits' place.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

// One rank's columns [vocab_begin, vocab_begin + valid) of the vocabulary, in rows of `width`.
template <class T>
struct Logits {
  T* data;  // [rows, width]
  const int32_t* targets;
  int64_t rows, width, vocab_begin, valid;
};

// stats [rows, 3]: maximum, sum of exp(logit - maximum), the target's logit or 0. One read, by the
// online softmax of Milakov and Gimelshein (2018).
template <class T>
void xent_stats(cudaStream_t stream, const Logits<T>& logits, float* stats);

// all_stats [parts, rows, 3], loss [rows]; see Backend::xent_finish.
template <class T>
void xent_finish(cudaStream_t stream, const Logits<T>& logits, const float* all_stats,
                 int64_t parts, bool write_grad, float* loss);

}  // namespace katman::kernels
