#include "tests/support/far_backend.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "tests/support/far_memory.h"
#include "tests/support/far_queue.h"

namespace katman::testing {
namespace {

// An argument of an operation as the inner backend may use it, and as it is kept until then.
Tensor near(const Tensor& t) {
  if (!t) return {};
  const FarMemory& memory = FarMemory::of_process();
  require(memory.holds(t.raw()), "an operation of a far device was given a tensor of the host");
  auto buffer = std::make_shared<Buffer>(Buffer{memory.near(t.raw()), t.bytes()});
  return Tensor(std::move(buffer), 0, t.shape(), t.dtype());
}
AttentionShape near(AttentionShape shape) {
  shape.document_start = near(shape.document_start);
  return shape;
}
Gemm near(Gemm g) {
  for (Tensor* t : {&g.a, &g.b, &g.c, &g.bias, &g.aux, &g.bias_grad}) *t = near(*t);
  return g;
}
AdamW near(AdamW step) {
  for (Tensor* t : {&step.value, &step.master, &step.m, &step.v, &step.grad}) *t = near(*t);
  return step;
}
template <class Number>
Number near(const Number& number) {
  return number;
}

class FarBackend : public Backend {
 public:
  explicit FarBackend(const std::string& inner)
      : inner_(make_backend(inner, 1)),
        pool_([](int64_t bytes) { return FarMemory::of_process().allocate(bytes); },
              [](std::byte* block) { FarMemory::of_process().release(block); }) {}

  std::string name() const override { return "far " + inner_->name(); }
  Pool& pool() override { return pool_; }
  DeviceQueue& queue() override { return queue_; }
  void sync() override { queue_.sync(); }

  void upload(const void* host, const Tensor& to) override {
    const auto* bytes = static_cast<const std::byte*>(host);
    queue_.enqueue([kept = std::vector(bytes, bytes + to.bytes()), target = near(to)] {
      std::ranges::copy(kept, static_cast<std::byte*>(target.raw()));
    });
  }
  void download(const Tensor& from, void* host) override {
    queue_.move(from.raw(), static_cast<std::byte*>(host), from.bytes());
    queue_.sync();
  }

  void copy(const Tensor& from, const Tensor& to) override { later(&Backend::copy, from, to); }
  void fill_zero(const Tensor& t) override { later(&Backend::fill_zero, t); }
  void cast(const Tensor& x, const Tensor& y) override { later(&Backend::cast, x, y); }
  void weights_changed() override { later(&Backend::weights_changed); }
  void gemm(const Gemm& g) override { later(&Backend::gemm, g); }
  void bias_grad(const Tensor& dy, const Tensor& db) override {
    later(&Backend::bias_grad, dy, db);
  }
  void attention(const Tensor& qkv, const AttentionShape& shape, const Tensor& out,
                 const Tensor& lse) override {
    later(&Backend::attention, qkv, shape, out, lse);
  }
  void attention_grad(const Tensor& dout, const Tensor& qkv, const Tensor& out, const Tensor& lse,
                      const AttentionShape& shape, const Tensor& dqkv) override {
    later(&Backend::attention_grad, dout, qkv, out, lse, shape, dqkv);
  }
  void attention_cached(const Tensor& qkv, const AttentionShape& shape, int64_t past,
                        const Tensor& k_cache, const Tensor& v_cache, const Tensor& out) override {
    later(&Backend::attention_cached, qkv, shape, past, k_cache, v_cache, out);
  }
  void layernorm(const Tensor& x, const Tensor& residual, const Tensor& gamma, const Tensor& beta,
                 float epsilon, const Tensor& sum, const Tensor& y, const Tensor& mean,
                 const Tensor& rstd) override {
    later(&Backend::layernorm, x, residual, gamma, beta, epsilon, sum, y, mean, rstd);
  }
  void layernorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& mean,
                      const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                      const Tensor& dgamma, const Tensor& dbeta) override {
    later(&Backend::layernorm_grad, dy, x, gamma, mean, rstd, dresidual, dx, dgamma, dbeta);
  }
  void rmsnorm(const Tensor& x, const Tensor& residual, const Tensor& gamma, float epsilon,
               const Tensor& sum, const Tensor& y, const Tensor& rstd) override {
    later(&Backend::rmsnorm, x, residual, gamma, epsilon, sum, y, rstd);
  }
  void rmsnorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma, const Tensor& rstd,
                    const Tensor& dresidual, const Tensor& dx, const Tensor& dgamma) override {
    later(&Backend::rmsnorm_grad, dy, x, gamma, rstd, dresidual, dx, dgamma);
  }
  void add(const Tensor& x, const Tensor& y, const Tensor& out) override {
    later(&Backend::add, x, y, out);
  }
  void scale(const Tensor& x, float factor) override { later(&Backend::scale, x, factor); }
  void gelu(const Tensor& x, const Tensor& y) override { later(&Backend::gelu, x, y); }
  void gelu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) override {
    later(&Backend::gelu_grad, dy, x, dx);
  }
  void swiglu(const Tensor& x, const Tensor& y) override { later(&Backend::swiglu, x, y); }
  void swiglu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) override {
    later(&Backend::swiglu_grad, dy, x, dx);
  }
  void rope(const Tensor& qkv, const AttentionShape& shape, const Tensor& frequencies, int64_t past,
            int direction) override {
    later(&Backend::rope, qkv, shape, frequencies, past, direction);
  }
  void dropout(const Tensor& x, float p, Key key, int64_t row_begin, int64_t column_begin,
               int64_t columns_global) override {
    later(&Backend::dropout, x, p, key, row_begin, column_begin, columns_global);
  }
  void embed(const Tensor& ids, const Tensor& table, int64_t vocab_begin, const Tensor& positions,
             int64_t length, int64_t first_position, const Tensor& y) override {
    later(&Backend::embed, ids, table, vocab_begin, positions, length, first_position, y);
  }
  void embed_grad(const Tensor& dy, const Tensor& ids, int64_t vocab_begin, int64_t length,
                  int64_t first_position, const Tensor& dtable, const Tensor& dpositions) override {
    later(&Backend::embed_grad, dy, ids, vocab_begin, length, first_position, dtable, dpositions);
  }
  void xent_stats(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                  int64_t valid_columns, const Tensor& stats) override {
    later(&Backend::xent_stats, logits, targets, vocab_begin, valid_columns, stats);
  }
  void xent_finish(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                   int64_t valid_columns, const Tensor& all_stats, bool write_grad,
                   const Tensor& loss) override {
    later(&Backend::xent_finish, logits, targets, vocab_begin, valid_columns, all_stats, write_grad,
          loss);
  }
  void sum_squares(const Tensor& x, const Tensor& out) override {
    later(&Backend::sum_squares, x, out);
  }
  void sum(const Tensor& x, const Tensor& out) override { later(&Backend::sum, x, out); }
  void adamw(const AdamW& step) override { later(&Backend::adamw, step); }

 private:
  template <class Operation, class... Arguments>
  void later(Operation operation, const Arguments&... arguments) {
    queue_.enqueue([this, operation, kept = std::tuple(near(arguments)...)] {
      std::apply([&](const auto&... near) { (inner_.get()->*operation)(near...); }, kept);
    });
  }

  std::unique_ptr<Backend> inner_;
  Pool pool_;
  FarQueue queue_;  // last: what is queued uses all of the above
};

}  // namespace

std::unique_ptr<Backend> make_far_backend(const std::string& inner) {
  return std::make_unique<FarBackend>(inner);
}

}  // namespace katman::testing
