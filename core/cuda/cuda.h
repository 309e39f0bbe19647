// The CUDA backend: products by cuBLASLt, attention by cuDNN or by kernels of our own, everything
// else by kernels in core/cuda/kernels. One stream; no operation waits for the device or, after the
// first step, asks it for memory. There are at most 40 launches per layer and micro-batch, beside
// those that cuBLASLt adds where it splits a sum; the host makes them well ahead of the device
// without collecting them in graphs. Two runs give the same bits, unless any order is allowed: no
// operation adds in an order that depends on time.
#pragma once

#include <memory>
#include <string>

#include "core/backend.h"
#include "core/cuda/device.h"
#include "core/cuda/fused_attention.h"
#include "core/cuda/gemm.h"
#include "core/cuda/queue.h"

namespace katman {

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  // For what works beside the backend: communication on its own stream, in the same memory.
  const CudaDevice& device() const { return device_; }
  cudaStream_t stream() const { return stream_; }

  std::string name() const override;
  Pool& pool() override { return pool_; }
  DeviceQueue& queue() override { return queue_; }
  void copy(const Tensor& from, const Tensor& to) override;
  void fill_zero(const Tensor& t) override;
  void upload(const void* host, const Tensor& to) override;
  void download(const Tensor& from, void* host) override;
  void sync() override;
  void cast(const Tensor& x, const Tensor& y) override;
  void weights_changed() override {}  // nothing is kept packed

  void allow_any_order(bool on) override {
    products_.allow_any_order(on);
    fused_.allow_any_order(on);
  }
  void allow_tf32(bool on) override { products_.allow_tf32(on); }
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
  // A layer norm with a mean, an RMS norm without.
  void norm(const Tensor& x, const Tensor& residual, const Tensor& gamma, const Tensor& beta,
            float epsilon, const Tensor& sum, const Tensor& y, const Tensor& mean,
            const Tensor& rstd);
  void norm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                 const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                 const Tensor& dgamma, const Tensor& dbeta);

  CudaDevice device_;
  Stream stream_;
  CudaQueue queue_{device_, stream_};
  Staging staging_;
  Pool pool_;
  Products products_;
  FusedAttention fused_;
};

}  // namespace katman
