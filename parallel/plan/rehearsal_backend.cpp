#include "parallel/plan/rehearsal_backend.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/cuda_library.h"

namespace katman {
namespace {

// Addresses that nobody will look behind, each given out once.
Pool make_address_pool() {
  constexpr int64_t alignment = 256;
  return Pool(
      [next = uintptr_t{alignment}](int64_t bytes) mutable {
        auto* const block = reinterpret_cast<std::byte*>(next);
        next += static_cast<uintptr_t>((bytes + alignment - 1) / alignment * alignment);
        return block;
      },
      [](std::byte*) {});
}

}  // namespace

Effort& Effort::operator+=(const Effort& other) {
  product_flops += other.product_flops;
  moved_bytes += other.moved_bytes;
  return *this;
}

Effort operator-(Effort a, const Effort& b) {
  a.product_flops -= b.product_flops;
  a.moved_bytes -= b.moved_bytes;
  return a;
}

DeviceHabits habits_of(const std::string& kind) {
  const bool cuda = cuda_device_of(kind).has_value();
  return {.packs_weights = kind == "cpu", .narrow_fp8 = cuda, .fused_bias_grad = cuda};
}

RehearsalBackend::RehearsalBackend(DeviceHabits habits)
    : habits_(habits), pool_(make_address_pool()) {}

void RehearsalBackend::touch(std::initializer_list<Tensor> tensors) {
  for (const Tensor& t : tensors)
    if (t) effort_.moved_bytes += static_cast<double>(t.bytes());
}

void RehearsalBackend::download(const Tensor& from, void* host) {
  std::memset(host, 0, static_cast<size_t>(from.bytes()));
}

void RehearsalBackend::weights_changed() {
  packed_.clear();
  packed_bytes_ = 0;
}

void RehearsalBackend::gemm(const Gemm& g) {
  const GemmSize size = check_gemm(g);
  effort_.product_flops +=
      2.0 * static_cast<double>(size.m) * static_cast<double>(size.n) * static_cast<double>(size.k);
  if (g.bias_grad) touch({g.bias_grad, habits_.fused_bias_grad ? Tensor() : g.a});
  if (g.a_fp8 != Fp8::none) {  // rounded copies of both, which go with the product
    const Tensor a = empty(g.a.shape(), habits_.narrow_fp8 ? DType::u8 : g.a.dtype());
    const Tensor b = empty(g.b.shape(), a.dtype());
    return touch({g.a, g.a, a, g.b, g.b, b});
  }
  if (!habits_.packs_weights || !g.b_is_weight) return;
  Tensor& copy = packed_[{g.b.raw(), size.m, g.b_transposed, static_cast<bool>(g.bias)}];
  if (copy) return;
  copy = empty(g.b.shape(), g.b.dtype());
  packed_bytes_ += copy.bytes();
  most_packed_bytes_ = std::max(most_packed_bytes_, packed_bytes_);
}

void RehearsalBackend::attend(const AttentionShape& shape, int products) {
  const double length = static_cast<double>(shape.length);
  const double keys =
      shape.window ? std::min(static_cast<double>(shape.window), length / 2) : length / 2;
  effort_.product_flops += products * 2.0 * static_cast<double>(shape.sequences) *
                           static_cast<double>(shape.heads() * shape.head_dim) * length * keys;
}

void RehearsalBackend::attention(const Tensor&, const AttentionShape& shape, const Tensor&,
                                 const Tensor&) {
  attend(shape, 2);  // scores, and values weighted by them
}

void RehearsalBackend::attention_grad(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                      const AttentionShape& shape, const Tensor&) {
  attend(shape, 5);  // scores again, then the gradients of v, of the scores, of q and of k
}

void RehearsalBackend::attention_cached(const Tensor& qkv, const AttentionShape&, int64_t,
                                        const Tensor& k_cache, const Tensor& v_cache,
                                        const Tensor& out) {
  touch({qkv, k_cache, v_cache, out});
}

void RehearsalBackend::layernorm(const Tensor& x, const Tensor& residual, const Tensor&,
                                 const Tensor&, float, const Tensor& sum, const Tensor& y,
                                 const Tensor&, const Tensor&) {
  touch({x, residual, sum, y});
}

void RehearsalBackend::layernorm_grad(const Tensor& dy, const Tensor& x, const Tensor&,
                                      const Tensor&, const Tensor&, const Tensor& dresidual,
                                      const Tensor& dx, const Tensor&, const Tensor&) {
  touch({dy, x, dresidual, dx});
}

void RehearsalBackend::rmsnorm(const Tensor& x, const Tensor& residual, const Tensor&, float,
                               const Tensor& sum, const Tensor& y, const Tensor&) {
  touch({x, residual, sum, y});
}

void RehearsalBackend::rmsnorm_grad(const Tensor& dy, const Tensor& x, const Tensor&, const Tensor&,
                                    const Tensor& dresidual, const Tensor& dx, const Tensor&) {
  touch({dy, x, dresidual, dx});
}

void RehearsalBackend::rope(const Tensor& qkv, const AttentionShape&, const Tensor&, int64_t, int) {
  touch({qkv, qkv});
}

void RehearsalBackend::embed(const Tensor&, const Tensor&, int64_t, const Tensor&, int64_t, int64_t,
                             const Tensor& y) {
  touch({y, y});
}

void RehearsalBackend::embed_grad(const Tensor& dy, const Tensor&, int64_t, int64_t, int64_t,
                                  const Tensor&, const Tensor&) {
  touch({dy, dy});
}

void RehearsalBackend::xent_stats(const Tensor& logits, const Tensor&, int64_t, int64_t,
                                  const Tensor&) {
  logits_bytes_ = std::max(logits_bytes_, logits.bytes());
  touch({logits});
}

void RehearsalBackend::xent_finish(const Tensor& logits, const Tensor&, int64_t, int64_t,
                                   const Tensor&, bool write_grad, const Tensor&) {
  if (write_grad) touch({logits, logits});
}

void RehearsalBackend::adamw(const AdamW& step) {
  touch({step.value, step.master, step.master, step.m, step.m, step.v, step.v, step.grad});
}

}  // namespace katman
