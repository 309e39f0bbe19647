// The embedding and its gradient. The gradient adds rows of dy to rows of the table without
// atomics: tokens are sorted by (id, row), and one block adds the rows of one id in their order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman::kernels {

struct Tokens {
  const int32_t* ids;
  int64_t count, vocab_begin, vocab_rows;  // ids outside [begin, begin + rows) are not mine
};
// Row t has position first + t % length.
struct Positions {
  int64_t first, length;
};

// y[t] = table[id - vocab_begin], or 0, + positions[...] unless nullptr.
template <class T>
void embed(cudaStream_t stream, const Tokens& tokens, const T* table, const T* positions,
           const Positions& place, T* y, int64_t width);

// How many 64-bit keys sort_tokens() writes for `count` tokens: a power of two.
int64_t sorted_keys(int64_t count);
// keys = (id - vocab_begin) << 32 | row of the tokens that are mine, ascending; then all ones. A
// bitonic sort (Batcher, 1968): log^2 passes, of which all but a few stay in shared memory.
void sort_tokens(cudaStream_t stream, const Tokens& tokens, uint64_t* keys);

// dtable[id] += the rows of dy with that id, in order.
template <class T>
void embed_grad(cudaStream_t stream, const T* dy, const uint64_t* keys, int64_t count,
                float* dtable, int64_t width);
// dpositions[first + i] += the rows of dy at position i, in order.
template <class T>
void positions_grad(cudaStream_t stream, const T* dy, int64_t rows, const Positions& place,
                    float* dpositions, int64_t width);

}  // namespace katman::kernels
