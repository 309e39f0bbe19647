// Every operation a GPT needs, on one device. The reference backend (core/cpu/reference) defines
// what each one means; every other backend is held against it by
// tests/core/backend_conformance_test.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/device_queue.h"
#include "core/fp8.h"
#include "core/pool.h"
#include "core/random.h"
#include "core/tensor.h"

namespace katman {

// C = op(A)·op(B), then the epilogue. A is [m, k], or [k, m] when a_transposed; B is [k, n], or
// [n, k] when b_transposed; C is [m, n]. A and B have one type; C is that type or f32. Sums in f32.
// With a_fp8 and b_fp8, an element of that operand counts as fp8_rounded(element * s) / s, where s
// is the fp8_scale of the whole operand: what tensor cores for 8-bit floats compute, where there
// are some, and what every device computes somehow.
struct Gemm {
  enum class Epilogue {
    none,
    bias,       // C = AB + bias
    bias_gelu,  // aux = AB + bias, C = gelu(aux)
    gelu_grad,  // C = AB * gelu'(aux): backward through the GELU that made A's forward input
  };
  Tensor a = {}, b = {}, c = {};
  bool a_transposed = false, b_transposed = false;
  bool accumulate = false;  // C += AB; only with Epilogue::none and C in f32
  bool b_is_weight =
      false;  // B changes only between calls of weights_changed(): may be kept packed
  Fp8 a_fp8 = Fp8::none, b_fp8 = Fp8::none;  // both or none
  Epilogue epilogue = Epilogue::none;
  Tensor bias = {};  // [n], type of A
  Tensor aux = {};   // [m, n], type of C: written by bias_gelu, read by gelu_grad
  // f32 [m], optional: += the sums over k of op(A), as it is before fp8_rounded. Where the product
  // is a weight's gradient, dy^T x, these are the bias's. Only when a_transposed, with
  // Epilogue::none.
  Tensor bias_grad = {};
};

// Which keys a query may look at, and how heads are laid out. Tokens of a micro-batch are the rows
// of one matrix: row = sequence * length + position. A row of `qkv` is [groups][q heads of the
// group, then k, then v][head_dim], so that a tensor-parallel rank holds a contiguous range of
// groups (GPT-2: one query head per group; grouped-query attention, Ainslie et al. 2023: several).
struct AttentionShape {
  int64_t sequences = 0, length = 0;
  int64_t groups = 0, queries_per_group = 1, head_dim = 0;
  int64_t window = 0;  // > 0: only the last `window` positions, the query's own among them
  // i32 [sequences * length], optional: first position of the row's document.
  Tensor document_start = {};
  float dropout = 0;  // of the attention probabilities
  // Element: ((sequence_begin + sequence) * heads + head) * length^2 + i * length + j.
  Key dropout_key = {};
  int64_t sequence_begin = 0, head_begin = 0, heads_global = 0;

  int64_t heads() const { return groups * queries_per_group; }
  int64_t qkv_columns() const { return groups * (queries_per_group + 2) * head_dim; }
};

// One AdamW step over a flat range (Loshchilov and Hutter, 2019, with decoupled decay).
//   g = grad * grad_scale;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
//   master -= rate * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) + decay * master);  value =
//   master
struct AdamW {
  Tensor value = {};  // f32 or bf16: what forward passes read; may be `master` itself in f32
  Tensor master = {}, m = {}, v = {}, grad = {};  // f32, all of one length
  float rate = 0, beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f, decay = 0;
  float grad_scale = 1;  // 1 / (valid tokens), times the clipping factor
  int64_t step = 1;      // t, from 1
};

// One device and its in-order queue. Operations enqueue and return; only sync() and copies to the
// host block. Tensors named first are inputs, outputs follow; shapes are in the comments, T =
// tokens (rows), H = hidden. "x: f32|bf16" means either, and all activations of one call agree.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;  // "cpu (oneDNN 2.6, avx512_core_bf16, 2 threads)"
  virtual Pool& pool() = 0;
  // What the operations below are enqueued on, for those who exchange tensors with other ranks.
  virtual DeviceQueue& queue() = 0;
  // Uninitialised memory from the pool.
  Tensor empty(const Shape& shape, DType dtype);
  Tensor zeros(const Shape& shape, DType dtype);

  // --- moving
  virtual void copy(const Tensor& from, const Tensor& to) = 0;  // same device, shape and type
  virtual void fill_zero(const Tensor& t) = 0;
  virtual void upload(const void* host, const Tensor& to) = 0;  // host memory is free on return
  virtual void download(const Tensor& from, void* host) = 0;    // blocks
  virtual void sync() = 0;                                      // blocks until the queue is empty
  virtual void cast(const Tensor& x, const Tensor& y) = 0;  // f32 <-> bf16, any equal element count
  // Tells that parameters were written (an update, a load): packed copies of weights are stale.
  virtual void weights_changed() = 0;

  // Lets sums be added in whatever order is fastest, so that two runs may differ in their last bits:
  // for measuring what the fixed orders cost. CUDA's products and cuDNN's attention have other
  // orders, the rest ignores it. Off at first.
  virtual void allow_any_order(bool) {}

  // --- products
  // Lets products of f32 round their operands to TF32, 10 bits of fraction, where the device has
  // tensor cores for it: CUDA does, the others ignore it. Off at first.
  virtual void allow_tf32(bool) {}
  virtual void gemm(const Gemm& g) = 0;
  // db[n] (f32) += sum over rows of dy [T, n].
  virtual void bias_grad(const Tensor& dy, const Tensor& db) = 0;

  // --- attention. softmax(q k^T / sqrt(head_dim), masked) v, blocked so that scores stay in cache
  // (Dao et al., 2022). qkv [T, qkv_columns], out [T, heads*head_dim], lse f32 [heads, T].
  virtual void attention(const Tensor& qkv, const AttentionShape& shape, const Tensor& out,
                         const Tensor& lse) = 0;
  virtual void attention_grad(const Tensor& dout, const Tensor& qkv, const Tensor& out,
                              const Tensor& lse, const AttentionShape& shape,
                              const Tensor& dqkv) = 0;
  // Generation: appends the keys and values of `qkv` ([sequences * length] new tokens) behind
  // `past` tokens of the caches [sequences, capacity, groups, head_dim] and attends over past +
  // new.
  virtual void attention_cached(const Tensor& qkv, const AttentionShape& shape, int64_t past,
                                const Tensor& k_cache, const Tensor& v_cache,
                                const Tensor& out) = 0;

  // --- norms over the last extent. x, y [T, H]; gamma, beta [H] in x's type; mean, rstd f32 [T].
  // With `residual`, the input is x + residual, written to `sum` (x's type); what is normalised is
  // that rounded sum, so that computing y again from `sum` alone gives the same bits.
  virtual void layernorm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                         const Tensor& beta, float epsilon, const Tensor& sum, const Tensor& y,
                         const Tensor& mean, const Tensor& rstd) = 0;
  // x is what was normalised. dx = gradient (+ dresidual when given: the other path into the same
  // x); dgamma, dbeta f32 [H] are added to.
  virtual void layernorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                              const Tensor& mean, const Tensor& rstd, const Tensor& dresidual,
                              const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta) = 0;
  virtual void rmsnorm(const Tensor& x, const Tensor& residual, const Tensor& gamma, float epsilon,
                       const Tensor& sum, const Tensor& y, const Tensor& rstd) = 0;
  virtual void rmsnorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                            const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                            const Tensor& dgamma) = 0;

  // --- elementwise
  virtual void add(const Tensor& x, const Tensor& y,
                   const Tensor& out) = 0;                // f32|bf16; out may be x or y
  virtual void scale(const Tensor& x, float factor) = 0;  // in place
  // GELU, tanh form as in GPT-2 (Hendrycks and Gimpel, 2016). dx may be dy.
  virtual void gelu(const Tensor& x, const Tensor& y) = 0;
  virtual void gelu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) = 0;
  // x [T, 2F]: gate then up; y [T, F] = silu(gate) * up (Shazeer, 2020).
  virtual void swiglu(const Tensor& x, const Tensor& y) = 0;
  virtual void swiglu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) = 0;
  // Rotates q and k of qkv in place by the row's position (Su et al., 2021; halves as in Llama):
  // pair c of a head by position * frequencies[c], f32 [head_dim / 2]; position = past + row %
  // length. direction -1 is the gradient.
  virtual void rope(const Tensor& qkv, const AttentionShape& shape, const Tensor& frequencies,
                    int64_t past, int direction) = 0;
  // In place; element (row, column) is kept when random_uniform(key, (row_begin + row) *
  // columns_global
  // + column_begin + column) >= p, and scaled by 1/(1-p). Applying it to a gradient is its
  // gradient.
  virtual void dropout(const Tensor& x, float p, Key key, int64_t row_begin, int64_t column_begin,
                       int64_t columns_global) = 0;

  // --- ends of the model. ids i32 [T]; ids outside [vocab_begin, vocab_begin + rows of table) give
  // 0. y[t] = table[ids[t] - vocab_begin] (+ positions[first_position + t % length] when given).
  virtual void embed(const Tensor& ids, const Tensor& table, int64_t vocab_begin,
                     const Tensor& positions, int64_t length, int64_t first_position,
                     const Tensor& y) = 0;
  // Adds to dtable (f32) and, when given, dpositions (f32), in an order that does not vary.
  virtual void embed_grad(const Tensor& dy, const Tensor& ids, int64_t vocab_begin, int64_t length,
                          int64_t first_position, const Tensor& dtable,
                          const Tensor& dpositions) = 0;
  // Cross-entropy over a vocabulary that may be cut over ranks. logits [R, V/tp], f32|bf16; columns
  // from `valid_columns` on are padding. stats f32 [R, 3]: my maximum, my sum of exp(logit -
  // maximum), the target's logit if it is mine (else 0).
  virtual void xent_stats(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                          int64_t valid_columns, const Tensor& stats) = 0;
  // all_stats f32 [tp, R, 3]. loss f32 [R]: -log p(target), 0 where target < 0 (not counted). With
  // write_grad, logits become (softmax - onehot(target)) * valid(row); padding columns become 0.
  virtual void xent_finish(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                           int64_t valid_columns, const Tensor& all_stats, bool write_grad,
                           const Tensor& loss) = 0;

  // --- optimizer, over flat buckets
  // out f32 [1] += sum of squares of x (f32), in an order that does not vary.
  virtual void sum_squares(const Tensor& x, const Tensor& out) = 0;
  // out f32 [1] += sum of x (f32).
  virtual void sum(const Tensor& x, const Tensor& out) = 0;
  virtual void adamw(const AdamW& step) = 0;
};

// kind: "reference" (serial, defines every operation), "cpu" (oneDNN, AMX or AVX-512 where the
// processor has it, OpenMP), "cuda:0". threads: 0 means all cores; only "cpu" reads it.
std::unique_ptr<Backend> make_backend(const std::string& kind, int threads = 0);

}  // namespace katman
