// What the arguments of an operation must look like: the border where every backend validates, so
// that kernels may trust their sizes. Each function throws Error naming the operation.
#pragma once

#include "core/backend.h"

namespace katman {

struct GemmSize {
  int64_t m = 0, n = 0, k = 0;
};
GemmSize check_gemm(const Gemm& g);

// Rows of a matrix, and what lies in each.
struct Rows {
  int64_t count = 0, width = 0;
};
// All of `tensors` (the empty ones aside) have x's shape and type.
Rows check_rows(const char* operation, const Tensor& x, std::initializer_list<Tensor> tensors);
// qkv [tokens, qkv_columns] and, unless empty, out [tokens, heads * head_dim], of one type. Returns
// the number of tokens.
int64_t check_attention(const AttentionShape& shape, const Tensor& qkv, const Tensor& out);
// Caches [sequences, capacity, groups, head_dim] of qkv's type with room for the new tokens; no
// dropout. Returns the capacity.
int64_t check_caches(const AttentionShape& shape, int64_t past, const Tensor& qkv,
                     const Tensor& k_cache, const Tensor& v_cache);
// x, residual, sum and `tensors` alike; gamma [H] in x's type; a residual comes with a sum.
Rows check_norm(const char* operation, const Tensor& x, const Tensor& gamma, const Tensor& residual,
                const Tensor& sum, std::initializer_list<Tensor> tensors);
// x [T, 2F] beside y [T, F].
void check_swiglu(const Tensor& x, const Tensor& y);
// An even head_dim and its frequencies, f32 [head_dim / 2].
void check_rope(const AttentionShape& shape, const Tensor& frequencies);
// ids i32 [T], table [V, H], y [T, H]; positions (when given) hold every position used.
Rows check_embed(const Tensor& ids, const Tensor& table, const Tensor& positions, int64_t length,
                 int64_t first_position, const Tensor& y);
// logits [R, V], targets i32 [R], stats f32 [parts, R, 3].
Rows check_xent(const Tensor& logits, const Tensor& targets, int64_t valid_columns,
                const Tensor& stats, int64_t parts);
void check_same_elements(const char* operation, const Tensor& x, const Tensor& y);
void check_adamw(const AdamW& step);

}  // namespace katman
