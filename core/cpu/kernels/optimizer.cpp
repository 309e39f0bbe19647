// AdamW over flat ranges, and sums whose order does not vary.
#include "core/cpu/kernels/families.h"
#include "core/cpu/kernels/simd.h"

namespace katman::KATMAN_ISA {
namespace {

V root_of(V x) {
  V root;
  for (int i = 0; i < lanes; ++i) root[i] = __builtin_sqrtf(x[i]);
  return root;
}

template <class E>
void adamw(Out value, float* master, float* m, float* v, const float* grad, int64_t n, float rate,
           float beta1, float beta2, float epsilon, float decay, float grad_scale, float unbias1,
           float unbias2) {
  auto* copy = static_cast<typename E::type*>(value);
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t left = n - i;
    const V g = load<F32>(grad + i, left) * grad_scale;
    const V m1 = beta1 * load<F32>(m + i, left) + (1 - beta1) * g;
    const V v1 = beta2 * load<F32>(v + i, left) + (1 - beta2) * g * g;
    V w = load<F32>(master + i, left);
    w -= rate * (m1 * unbias1 / (root_of(v1 * unbias2) + epsilon) + decay * w);
    store<F32>(m + i, m1, left);
    store<F32>(v + i, v1, left);
    store<F32>(master + i, w, left);
    store<E>(copy + i, w, left);
  }
}

// Partial sums of a few thousand elements in f32, their sum in double.
template <class Term>
double blocked_sum(const float* x, int64_t n, Term term) {
  constexpr int64_t block = 4096;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t count = n - begin < block ? n - begin : block;
    V sum = {};
    for (int64_t i = 0; i < count; i += lanes) sum += term(load<F32>(x + begin + i, count - i));
    for (int i = 0; i < lanes; ++i) total += sum[i];
  }
  return total;
}

double sum(const float* x, int64_t n) {
  return blocked_sum(x, n, [](V v) { return v; });
}

double sum_squares(const float* x, int64_t n) {
  return blocked_sum(x, n, [](V v) { return v * v; });
}

}  // namespace

void add_optimizer(CpuKernels& table) {
  table.typed[0].adamw = adamw<F32>;
  table.typed[1].adamw = adamw<B16>;
  table.sum = sum;
  table.sum_squares = sum_squares;
}

}  // namespace katman::KATMAN_ISA
