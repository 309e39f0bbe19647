// The two ends of the model: embedding and cross-entropy.
#include "core/cpu/kernels/families.h"
#include "core/cpu/kernels/simd.h"

namespace katman::KATMAN_ISA {
namespace {

template <class E>
struct Ends {
  using T = typename E::type;

  static void embed(In table_row, In position_row, Out y, int64_t width) {
    const T *word = static_cast<const T*>(table_row), *place = static_cast<const T*>(position_row);
    T* out = static_cast<T*>(y);
    for (int64_t i = 0; i < width; i += lanes) {
      V v = {};
      if (word) v += load<E>(word + i, width - i);
      if (place) v += load<E>(place + i, width - i);
      store<E>(out + i, v, width - i);
    }
  }

  static void add_to_f32(In dy, float* to, int64_t n) {
    const T* from = static_cast<const T*>(dy);
    for (int64_t i = 0; i < n; i += lanes)
      store<F32>(to + i, load<F32>(to + i, n - i) + load<E>(from + i, n - i), n - i);
  }

  static void xent_stats(In logits, int64_t columns, float* maximum_out, float* total_out) {
    const T* x = static_cast<const T*>(logits);
    const int64_t whole = columns / lanes * lanes;
    V most = splat(-__builtin_inff());
    for (int64_t i = 0; i < whole; i += lanes) {
      const V v = E::load(x + i);
      most = v > most ? v : most;
    }
    float maximum = -__builtin_inff();
    for (int i = 0; i < lanes; ++i) maximum = most[i] > maximum ? most[i] : maximum;
    const V rest = load<E>(x + whole, columns - whole);
    for (int64_t i = 0; i < columns - whole; ++i) maximum = rest[i] > maximum ? rest[i] : maximum;
    V total = {};
    for (int64_t i = 0; i < whole; i += lanes) total += exp(E::load(x + i) - maximum);
    if (whole < columns) total += exp(rest - maximum) * first_lanes(columns - whole);
    *maximum_out = maximum;
    *total_out = sum_of(total);
  }

  static void softmax(Out logits, int64_t columns, int64_t width, float maximum, float total) {
    T* x = static_cast<T*>(logits);
    const float share = 1 / total;
    const int64_t whole = columns / lanes * lanes;
    for (int64_t i = 0; i < whole; i += lanes)
      E::store(x + i, exp(E::load(x + i) - maximum) * share);
    for (int64_t i = whole; i < width; i += lanes) {
      const V v = exp(load<E>(x + i, width - i) - maximum) * share;
      const V zero = {};
      store<E>(x + i, first_lanes(columns > i ? columns - i : 0) > 0.0f ? v : zero, width - i);
    }
  }

  static void add_to(CpuKernels::Typed& table) {
    table.embed = embed;
    table.add_to_f32 = add_to_f32;
    table.xent_stats = xent_stats;
    table.softmax = softmax;
  }
};

}  // namespace

void add_ends(CpuKernels& table) {
  Ends<F32>::add_to(table.typed[0]);
  Ends<B16>::add_to(table.typed[1]);
}

}  // namespace katman::KATMAN_ISA
