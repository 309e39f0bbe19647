// The CPU backend's inner loops, as one table per instruction set: each entry works on a range that
// one thread owns, on contiguous memory, and trusts its sizes. The arithmetic is that of
// core/backend.h, in f32; bf16 is widened when read and rounded once when written.
#pragma once

#include <cstdint>

namespace katman {

// Elements of an f32 or a bf16 tensor; which of the two, the table's index says.
using In = const void*;
using Out = void*;

// Columns of one head in rows of qkv, and everything else attention needs to know. POD, since it
// crosses instruction sets.
struct AttentionJob {
  int64_t sequences, length, groups, queries_per_group, head_dim, window;
  int64_t qkv_columns;
  const int32_t* document_start;  // [sequences * length] or nullptr
  float scale;
  // With dropout: fills factors[key - first_key][query - first_query], 64 x 64, with 0 or 1/(1-p).
  void (*keep)(const void* context, int64_t sequence, int64_t head, int64_t first_key,
               int64_t first_query, float* factors);
  const void* keep_context;  // nullptr: no dropout
};

struct CpuKernels {
  const char* name;

  // Entries that exist for f32 [0] and bf16 [1].
  struct Typed {
    void (*add)(In x, In y, Out out, int64_t n);
    void (*scale)(Out x, float factor, int64_t n);
    void (*gelu)(In x, Out y, int64_t n);
    void (*gelu_grad)(In dy, In x, Out dx, int64_t n);
    // Rows of [gate, up], each of `width`.
    void (*swiglu)(In x, Out y, int64_t rows, int64_t width);
    void (*swiglu_grad)(In dy, In x, Out dx, int64_t rows, int64_t width);
    // sums[width] += rows of x.
    void (*column_sums)(In x, float* sums, int64_t rows, int64_t width);

    // residual, sum: both or neither. beta, mean: nullptr for the RMS norm.
    void (*norm)(In x, In residual, In gamma, In beta, float epsilon, Out sum, Out y, float* mean,
                 float* rstd, int64_t rows, int64_t width);
    // dgamma[width], dbeta[width] += ; mean, dbeta: nullptr for the RMS norm.
    void (*norm_grad)(In dy, In x, In gamma, const float* mean, const float* rstd, In dresidual,
                      Out dx, float* dgamma, float* dbeta, int64_t rows, int64_t width);

    // y = table row + position row; either may be nullptr.
    void (*embed)(In table_row, In position_row, Out y, int64_t width);
    // to[n] += dy.
    void (*add_to_f32)(In dy, float* to, int64_t n);
    // Of one row: maximum, and sum of e^(x - maximum).
    void (*xent_stats)(In logits, int64_t columns, float* maximum, float* total);
    // logits = e^(logits - maximum) / total, zeros from `columns` to `width`.
    void (*softmax)(Out logits, int64_t columns, int64_t width, float maximum, float total);

    // Forward of one sequence and group; `scratch` holds attention_scratch_bytes.
    void (*attention)(const AttentionJob& job, In qkv, Out out, float* lse, int64_t sequence,
                      int64_t group, void* scratch);
    void (*attention_grad)(const AttentionJob& job, In dout, In qkv, In out, const float* lse,
                           Out dqkv, int64_t sequence, int64_t group, void* scratch);
    // One query over keys [first, last] of a cache whose rows are `stride` elements apart; scores
    // has room for all of them.
    void (*attend_one)(In q, In keys, In values, int64_t stride, int64_t first, int64_t last,
                       int64_t head_dim, float scale, float* scores, Out out);

    // y[v * y_stride + row] = x[v] . weights[row] (+ bias[row], where there is one) for `count`
    // vectors x and rows [begin, end) of the weights, all of one width.
    void (*few_rows)(In x, int64_t count, In weights, In bias, int64_t begin, int64_t end,
                     int64_t width, float* y, int64_t y_stride);

    // The other way's cast: f32 to this type, this type to f32.
    void (*from_f32)(const float* x, Out y, int64_t n);
    void (*to_f32)(In x, float* y, int64_t n);
    // AdamW of core/backend.h; unbias: 1 / (1 - beta^t). `value` may be `master` itself.
    void (*adamw)(Out value, float* master, float* m, float* v, const float* grad, int64_t n,
                  float rate, float beta1, float beta2, float epsilon, float decay,
                  float grad_scale, float unbias1, float unbias2);
  } typed[2];

  double (*sum)(const float* x, int64_t n);
  double (*sum_squares)(const float* x, int64_t n);
  // What one call of attention or attention_grad needs to work in.
  int64_t (*attention_scratch_bytes)(const AttentionJob& job);
};

// The table of the best instruction set that this processor has.
const CpuKernels& cpu_kernels();

}  // namespace katman
