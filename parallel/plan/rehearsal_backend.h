// A device that has addresses but no memory, and does nothing: what a step asks of a device is
// found out by running it here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "core/backend.h"

namespace katman {

// What was asked for.
struct Effort {
  double product_flops = 0;  // of matrix products and attention, recomputation included
  double moved_bytes = 0;    // read and written by everything else

  Effort& operator+=(const Effort& other);
};
Effort operator-(Effort a, const Effort& b);

// How a kind of device goes about what it is asked for.
struct DeviceHabits {
  // A copy of every weight, until it changes, for each way that it is multiplied with.
  bool packs_weights = false;
  // Operands that a product rounds to 8 bits take one byte, not those of their type.
  bool narrow_fp8 = false;
  // A bias's gradient comes with the product that reads the same.
  bool fused_bias_grad = false;
};
// Of "cpu", "reference" or "cuda:N".
DeviceHabits habits_of(const std::string& kind);

// Every request for memory goes through a Pool as on a real device, so that its peak is what a real
// one would have had; every operation counts its effort and returns. Downloads give zeros.
class RehearsalBackend : public Backend {
 public:
  explicit RehearsalBackend(DeviceHabits habits = {});

  const Effort& effort() const { return effort_; }
  // The logits of the largest chunk that a loss was computed from.
  int64_t logits_bytes() const { return logits_bytes_; }
  // Most of weights that were packed at once.
  int64_t most_packed_bytes() const { return most_packed_bytes_; }

  std::string name() const override { return "rehearsal"; }
  Pool& pool() override { return pool_; }
  DeviceQueue& queue() override { return host_queue(); }
  void copy(const Tensor& from, const Tensor& to) override { touch({from, to}); }
  void fill_zero(const Tensor& t) override { touch({t}); }
  void upload(const void*, const Tensor&) override {}
  void download(const Tensor& from, void* host) override;
  void sync() override {}
  void cast(const Tensor& x, const Tensor& y) override { touch({x, y}); }
  void weights_changed() override;

  void gemm(const Gemm& g) override;
  void bias_grad(const Tensor& dy, const Tensor& db) override { touch({dy, db}); }

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

  void add(const Tensor& x, const Tensor& y, const Tensor& out) override { touch({x, y, out}); }
  void scale(const Tensor& x, float) override { touch({x, x}); }
  void gelu(const Tensor& x, const Tensor& y) override { touch({x, y}); }
  void gelu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) override {
    touch({dy, x, dx});
  }
  void swiglu(const Tensor& x, const Tensor& y) override { touch({x, y}); }
  void swiglu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) override {
    touch({dy, x, dx});
  }
  void rope(const Tensor& qkv, const AttentionShape& shape, const Tensor& frequencies, int64_t past,
            int direction) override;
  void dropout(const Tensor& x, float, Key, int64_t, int64_t, int64_t) override { touch({x, x}); }

  void embed(const Tensor& ids, const Tensor& table, int64_t vocab_begin, const Tensor& positions,
             int64_t length, int64_t first_position, const Tensor& y) override;
  void embed_grad(const Tensor& dy, const Tensor& ids, int64_t vocab_begin, int64_t length,
                  int64_t first_position, const Tensor& dtable, const Tensor& dpositions) override;
  void xent_stats(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                  int64_t valid_columns, const Tensor& stats) override;
  void xent_finish(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                   int64_t valid_columns, const Tensor& all_stats, bool write_grad,
                   const Tensor& loss) override;

  void sum_squares(const Tensor& x, const Tensor&) override { touch({x}); }
  void sum(const Tensor& x, const Tensor&) override { touch({x}); }
  void adamw(const AdamW& step) override;

 private:
  // Counts that every one of these passes through the device once.
  void touch(std::initializer_list<Tensor> tensors);
  // Products of the causal half of the scores; `products` of that size in all.
  void attend(const AttentionShape& shape, int products);

  DeviceHabits habits_;
  Pool pool_;
  Effort effort_;
  int64_t logits_bytes_ = 0, packed_bytes_ = 0, most_packed_bytes_ = 0;
  // Which weights in which product -> their packed copy.
  std::map<std::tuple<const void*, int64_t, bool, bool>, Tensor> packed_;
};

}  // namespace katman
