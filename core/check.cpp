#include "core/check.h"

#include <algorithm>

namespace katman {
namespace {

bool is_matrix(const Tensor& t, int64_t rows, int64_t columns) {
  return t.shape().rank() == 2 && t.extent(0) == rows && t.extent(1) == columns;
}

bool is_float(const Tensor& t) { return t.dtype() == DType::f32 || t.dtype() == DType::bf16; }

}  // namespace

GemmSize check_gemm(const Gemm& g) {
  require(g.a && g.b && g.c && g.a.shape().rank() == 2 && g.b.shape().rank() == 2,
          "gemm wants matrices A, B and C");
  const GemmSize size{g.a.extent(g.a_transposed ? 1 : 0), g.b.extent(g.b_transposed ? 0 : 1),
                      g.a.extent(g.a_transposed ? 0 : 1)};
  require(g.b.extent(g.b_transposed ? 1 : 0) == size.k && is_matrix(g.c, size.m, size.n),
          "gemm: A {}{}, B {}{} and C {} do not fit together", to_string(g.a.shape()),
          g.a_transposed ? "^T" : "", to_string(g.b.shape()), g.b_transposed ? "^T" : "",
          to_string(g.c.shape()));
  require(is_float(g.a) && g.b.dtype() == g.a.dtype() &&
              (g.c.dtype() == g.a.dtype() || g.c.dtype() == DType::f32),
          "gemm: no product {} x {} -> {}", name_of(g.a.dtype()), name_of(g.b.dtype()),
          name_of(g.c.dtype()));
  require((g.a_fp8 == Fp8::none) == (g.b_fp8 == Fp8::none),
          "gemm rounds both operands to 8 bits, or none");
  using enum Gemm::Epilogue;
  require(!g.accumulate || (g.epilogue == none && g.c.dtype() == DType::f32),
          "gemm accumulates only into f32 and without an epilogue");
  require(!g.bias_grad || (g.a_transposed && g.epilogue == none &&
                           g.bias_grad.dtype() == DType::f32 && g.bias_grad.elements() == size.m),
          "gemm: bias_grad wants {} values in f32, A transposed and no epilogue", size.m);
  if (g.epilogue == bias || g.epilogue == bias_gelu) {
    require(g.bias && g.bias.elements() == size.n && g.bias.dtype() == g.a.dtype(),
            "gemm: the epilogue wants a bias of {} {} values", size.n, name_of(g.a.dtype()));
  }
  if (g.epilogue == bias_gelu || g.epilogue == gelu_grad) {
    require(g.aux && is_matrix(g.aux, size.m, size.n) && g.aux.dtype() == g.c.dtype(),
            "gemm: the epilogue wants aux like C, {} {}", name_of(g.c.dtype()),
            to_string(g.c.shape()));
  }
  return size;
}

Rows check_rows(const char* operation, const Tensor& x, std::initializer_list<Tensor> tensors) {
  require(x && x.shape().rank() == 2 && is_float(x), "{} wants a matrix in f32 or bf16", operation);
  for (const Tensor& t : tensors) {
    require(!t || (t.shape() == x.shape() && t.dtype() == x.dtype()),
            "{} wants tensors of one shape and type, not {} {} beside {} {}", operation,
            name_of(x.dtype()), to_string(x.shape()), name_of(t.dtype()), to_string(t.shape()));
  }
  return {x.extent(0), x.extent(1)};
}

int64_t check_attention(const AttentionShape& shape, const Tensor& qkv, const Tensor& out) {
  const int64_t tokens = shape.sequences * shape.length;
  require(shape.head_dim > 0 && shape.groups > 0 && shape.queries_per_group > 0,
          "attention over {} groups of {} heads of {} has no elements", shape.groups,
          shape.queries_per_group, shape.head_dim);
  require(is_float(qkv) && is_matrix(qkv, tokens, shape.qkv_columns()),
          "attention: qkv is {}, not [{}, {}]", to_string(qkv.shape()), tokens,
          shape.qkv_columns());
  require(!out || (out.dtype() == qkv.dtype() &&
                   is_matrix(out, tokens, shape.heads() * shape.head_dim)),
          "attention: out is {} {}, not {} [{}, {}]", name_of(out.dtype()), to_string(out.shape()),
          name_of(qkv.dtype()), tokens, shape.heads() * shape.head_dim);
  require(!shape.document_start || (shape.document_start.dtype() == DType::i32 &&
                                    shape.document_start.elements() == tokens),
          "attention: document_start wants one i32 per token");
  require(shape.dropout >= 0 && shape.dropout < 1, "attention: dropout {} is not in [0, 1)",
          shape.dropout);
  return tokens;
}

int64_t check_caches(const AttentionShape& shape, int64_t past, const Tensor& qkv,
                     const Tensor& k_cache, const Tensor& v_cache) {
  require(shape.dropout == 0, "attention_cached is for generation, where nothing is dropped");
  for (const Tensor& cache : {k_cache, v_cache}) {
    require(cache && cache.dtype() == qkv.dtype() && cache.shape().rank() == 4 &&
                cache.extent(0) >= shape.sequences && cache.extent(2) == shape.groups &&
                cache.extent(3) == shape.head_dim,
            "attention_cached: a cache is {} {}, not {} [{}, capacity, {}, {}]",
            name_of(cache.dtype()), to_string(cache.shape()), name_of(qkv.dtype()), shape.sequences,
            shape.groups, shape.head_dim);
    require(past >= 0 && past + shape.length <= cache.extent(1),
            "attention_cached: {} tokens behind {} do not fit a cache of {}", shape.length, past,
            cache.extent(1));
  }
  return k_cache.extent(1);
}

Rows check_norm(const char* operation, const Tensor& x, const Tensor& gamma, const Tensor& residual,
                const Tensor& sum, std::initializer_list<Tensor> tensors) {
  const Rows rows = check_rows(operation, x, tensors);
  check_rows(operation, x, {residual, sum});
  require(gamma && gamma.elements() == rows.width && gamma.dtype() == x.dtype(),
          "{}: gamma is {} {}, not {} [{}]", operation, name_of(gamma.dtype()),
          to_string(gamma.shape()), name_of(x.dtype()), rows.width);
  require(!residual || sum, "{}: a residual wants a tensor for the sum", operation);
  return rows;
}

void check_swiglu(const Tensor& x, const Tensor& y) {
  const Rows rows = check_rows("swiglu", y, {});
  require(x && x.dtype() == y.dtype() && is_matrix(x, rows.count, 2 * rows.width),
          "swiglu: x is {} {}, not {} [{}, {}]", name_of(x.dtype()), to_string(x.shape()),
          name_of(y.dtype()), rows.count, 2 * rows.width);
}

void check_rope(const AttentionShape& shape, const Tensor& frequencies) {
  require(shape.head_dim % 2 == 0, "rope wants an even head_dim, not {}", shape.head_dim);
  require(frequencies && frequencies.dtype() == DType::f32 &&
              frequencies.elements() == shape.head_dim / 2,
          "rope wants {} frequencies in f32, not {}", shape.head_dim / 2,
          to_string(frequencies.shape()));
}

Rows check_embed(const Tensor& ids, const Tensor& table, const Tensor& positions, int64_t length,
                 int64_t first_position, const Tensor& y) {
  const Rows rows = check_rows("embed", y, {});
  require(ids && ids.dtype() == DType::i32 && ids.elements() == rows.count,
          "embed: {} ids for {} rows", ids.elements(), rows.count);
  require(table && table.shape().rank() == 2 && table.extent(1) == rows.width,
          "embed: a table {} does not hold rows of {}", to_string(table.shape()), rows.width);
  const int64_t used = first_position + std::min(length, rows.count);
  require(length > 0 && first_position >= 0 &&
              (!positions || (positions.shape().rank() == 2 && positions.extent(0) >= used &&
                              positions.extent(1) == rows.width)),
          "embed: positions up to {} are not in a table {}", used, to_string(positions.shape()));
  return rows;
}

Rows check_xent(const Tensor& logits, const Tensor& targets, int64_t valid_columns,
                const Tensor& stats, int64_t parts) {
  const Rows rows = check_rows("cross-entropy", logits, {});
  require(targets && targets.dtype() == DType::i32 && targets.elements() == rows.count,
          "cross-entropy: {} targets for {} rows", targets.elements(), rows.count);
  require(valid_columns >= 0 && valid_columns <= rows.width,
          "cross-entropy: {} of {} columns cannot be valid", valid_columns, rows.width);
  require(stats && stats.dtype() == DType::f32 && parts >= 1 &&
              stats.elements() == parts * rows.count * 3,
          "cross-entropy: stats {} are not [parts, {}, 3]", to_string(stats.shape()), rows.count);
  return rows;
}

void check_same_elements(const char* operation, const Tensor& x, const Tensor& y) {
  require(x && y && is_float(x) && is_float(y) && x.elements() == y.elements(),
          "{} wants as many elements in f32 or bf16 on both sides, not {} and {}", operation,
          to_string(x.shape()), to_string(y.shape()));
}

void check_adamw(const AdamW& step) {
  const int64_t n = step.master.elements();
  for (const Tensor& t : {step.master, step.m, step.v, step.grad})
    require(t && t.dtype() == DType::f32 && t.elements() == n,
            "adamw wants master, m, v and grad in f32 of one length");
  require(step.value && is_float(step.value) && step.value.elements() == n,
          "adamw wants a value of {} elements in f32 or bf16", n);
  require(step.step >= 1, "adamw counts steps from 1, not {}", step.step);
}

}  // namespace katman
