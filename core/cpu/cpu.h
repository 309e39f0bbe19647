// The fast CPU backend: products by oneDNN, everything else by kernels chosen for the processor's
// instruction set, both on a team of threads. Results do not depend on the number of threads where
// core/backend.h promises an order, and are the same bits in every run.
#pragma once

#include <string>

#include "core/cpu/host.h"
#include "core/cpu/kernels/kernels.h"
#include "core/cpu/products.h"

namespace katman {

class CpuBackend : public HostBackend {
 public:
  explicit CpuBackend(int threads);  // 0: all cores this process may use

  std::string name() const override;
  void cast(const Tensor& x, const Tensor& y) override;
  void weights_changed() override { products_.weights_changed(); }

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

 private:
  const CpuKernels::Typed& kernels(const Tensor& t) const {
    return kernels_.typed[t.dtype() == DType::bf16];
  }
  void norm(const Tensor& x, const Tensor& residual, const Tensor& gamma, const Tensor& beta,
            float epsilon, const Tensor& sum, const Tensor& y, const Tensor& mean,
            const Tensor& rstd);
  void norm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                 const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                 const Tensor& dgamma, const Tensor& dbeta);
  // Adds to sums[width] what `work(begin, end, partial[width])` adds for blocks of rows, in an
  // order that depends on the number of rows alone. sums: one or more tensors f32 [width].
  template <class Work>
  void sum_over_rows(int64_t rows, int64_t width, std::initializer_list<Tensor> sums, Work work);
  double sum_in_blocks(const Tensor& x, double (*kernel)(const float*, int64_t)) const;

  int threads_;
  const CpuKernels& kernels_ = cpu_kernels();
  Products products_;
};

}  // namespace katman
