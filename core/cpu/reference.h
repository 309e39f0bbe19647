// The backend that defines every operation: serial, fp32 arithmetic, written to be read. bf16
// tensors are widened to f32, computed with, and rounded once when stored.
#pragma once

#include <string>
#include <vector>

#include "core/cpu/host.h"

namespace katman {

class ReferenceBackend : public HostBackend {
 public:
  std::string name() const override { return "reference (serial, fp32 arithmetic)"; }
  void cast(const Tensor& x, const Tensor& y) override;
  void weights_changed() override {}

  void gemm(const Gemm& g) override;
  void bias_grad(const Tensor& dy, const Tensor& db) override;

  void attention(const Tensor& qkv, const AttentionShape& shape, const Tensor& out,
                 const Tensor& lse) override;
  void attention_grad(const Tensor& dout, const Tensor& qkv, const Tensor& out, const Tensor& lse,
                      const AttentionShape& shape, const Tensor& dqkv) override;
  void attention_cached(const Tensor& qkv, const AttentionShape& shape, int64_t past,
                        const Tensor& k_cache, const Tensor& v_cache, const Tensor& out) override;

  void layernorm(const Tensor& x, const Tensor& residual, const Tensor& gamma, const Tensor& beta,
                 float epsilon, const Tensor& sum, const Tensor& y, const Tensor& mean,
                 const Tensor& rstd) override;
  void layernorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                      const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                      const Tensor& dgamma, const Tensor& dbeta) override;
  void rmsnorm(const Tensor& x, const Tensor& residual, const Tensor& gamma, float epsilon,
               const Tensor& sum, const Tensor& y, const Tensor& rstd) override;
  void rmsnorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& rstd,
                    const Tensor& dresidual, const Tensor& dx, const Tensor& dgamma) override;

  void add(const Tensor& x, const Tensor& y, const Tensor& out) override;
  void scale(const Tensor& x, float factor) override;
  void gelu(const Tensor& x, const Tensor& y) override;
  void gelu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) override;
  void swiglu(const Tensor& x, const Tensor& y) override;
  void swiglu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) override;
  void rope(const Tensor& qkv, const AttentionShape& shape, const Tensor& frequencies, int64_t past,
            int direction) override;
  void dropout(const Tensor& x, float p, Key key, int64_t row_begin, int64_t column_begin,
               int64_t columns_global) override;

  void embed(const Tensor& ids, const Tensor& table, int64_t vocab_begin, const Tensor& positions,
             int64_t length, int64_t first_position, const Tensor& y) override;
  void embed_grad(const Tensor& dy, const Tensor& ids, int64_t vocab_begin, int64_t length,
                  int64_t first_position, const Tensor& dtable, const Tensor& dpositions) override;
  void xent_stats(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                  int64_t valid_columns, const Tensor& stats) override;
  void xent_finish(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                   int64_t valid_columns, const Tensor& all_stats, bool write_grad,
                   const Tensor& loss) override;

  void sum_squares(const Tensor& x, const Tensor& out) override;
  void sum(const Tensor& x, const Tensor& out) override;
  void adamw(const AdamW& step) override;
};

// The elements of an f32 or bf16 tensor, widened.
std::vector<float> widen(const Tensor& t);
// Writes `values` to an f32 or bf16 tensor, rounding to nearest even.
void store(const std::vector<float>& values, const Tensor& t);

float gelu_value(float x);       // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
float gelu_derivative(float x);  // d gelu_value / dx

}  // namespace katman
