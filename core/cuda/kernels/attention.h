// Attention by our own kernels: where the heads lie, and which keys a query may look at. Two
// implementations share this: one for everything (attention_plain.cu) and one for bf16 on tensor
// cores (attention_mma.cu). Scores are never stored: the backward pass computes them again from the
// logarithm of each row's sum (Dao, 2023). It does so twice, once for the gradients of keys and
// values and once for that of queries, seven products instead of five: each gradient is then summed
// by one block in a fixed order, where one pass would add gradients of queries with atomics.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"
#include "core/random.h"

namespace katman::kernels {

// Element c of head h of token t of sequence s: data[s * sequence + t * token + h * head + c]; for
// queries, h = group * queries_per_group + within lies at group * group_ + within * head.
struct HeadStrides {
  int64_t sequence = 0, token = 0, group = 0, head = 0;
};

struct AttentionMask {
  int64_t window = 0;                       // 0: none
  const int32_t* document_start = nullptr;  // [sequences * length] or none
  float dropout = 0;
  Key dropout_key;
  uint64_t first_matrix = 0, heads_global = 0;  // of the counter: see AttentionShape
};

// One forward call. Query i of `length` has position past + i; keys have positions 0 to its own.
template <class T>
struct AttentionForward {
  const T *q, *k, *v;
  T* out;      // [tokens, heads * head_dim]
  float* lse;  // [heads, tokens], or nullptr
  HeadStrides q_strides, kv_strides;
  AttentionMask mask;
  int64_t sequences, length, past;
  int groups, queries_per_group, head_dim;
  float scale;
};

// k, v, dk, dv in the forward call's strides. delta [heads, tokens]: dout . out of every row.
template <class T>
struct AttentionBackward {
  AttentionForward<T> forward;  // out and lse as it left them
  const T* dout;                // as out
  float* delta;                 // scratch
  T *dq, *dk, *dv;              // as q, k, v
};

// The largest head that the plain kernels' tiles can hold.
constexpr int64_t largest_head = 256;

// f32 arithmetic on tiles in shared memory: every type, size and mask.
template <class T>
void attention_plain(cudaStream_t stream, const AttentionForward<T>& p);
template <class T>
void attention_plain_grad(cudaStream_t stream, const AttentionBackward<T>& p);

// Tensor cores, for heads of 64 and 128 whose rows can be read 16 bytes at a time.
bool attention_mma_takes(const AttentionForward<bf16>& p);
bool attention_mma_takes(const AttentionBackward<bf16>& p);
void attention_mma(cudaStream_t stream, const AttentionForward<bf16>& p);
void attention_mma_grad(cudaStream_t stream, const AttentionBackward<bf16>& p);

// delta of a backward pass; both implementations start with it.
template <class T>
void attention_delta(cudaStream_t stream, const AttentionBackward<T>& p);

// Copies k and v of qkv's tokens to positions past ... of the caches (strides of `cache`).
template <class T>
struct CacheAppend {
  const T *k, *v;
  HeadStrides from;
  T *k_cache, *v_cache;
  HeadStrides cache;
  int64_t sequences, length, past;
  int groups, head_dim;
};
template <class T>
void append_to_cache(cudaStream_t stream, const CacheAppend<T>& p);

// to [inner, outer, length] = from [outer, inner, length].
void swap_outer(cudaStream_t stream, const float* from, float* to, int64_t outer, int64_t inner,
                int64_t length);

}  // namespace katman::kernels
