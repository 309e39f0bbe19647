#include "core/cpu/kernels/families.h"
#include "core/cpu/kernels/simd.h"

namespace katman::KATMAN_ISA {
namespace {

constexpr float root_two_over_pi = 0.7978845608f, cubic = 0.044715f;

// 0.5 (1 + tanh u) = 1 / (1 + e^-2u)
V gelu_of(V x) { return x * sigmoid(2 * root_two_over_pi * (x + cubic * x * x * x)); }

// Beyond +-10 it is 1 or 0 to the last bit, and the cube of larger values might overflow.
V gelu_derivative_of(V x) {
  const V low = splat(-10), high = splat(10);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const V s = sigmoid(2 * root_two_over_pi * (x + cubic * x * x * x));
  return s + x * s * (1.0f - s) * (2 * root_two_over_pi) * (1.0f + 3 * cubic * x * x);
}

template <class E>
struct Elementwise {
  using T = typename E::type;

  static void add(In x, In y, Out out, int64_t n) {
    const T *a = static_cast<const T*>(x), *b = static_cast<const T*>(y);
    T* c = static_cast<T*>(out);
    for (int64_t i = 0; i < n; i += lanes)
      store<E>(c + i, load<E>(a + i, n - i) + load<E>(b + i, n - i), n - i);
  }

  static void scale(Out x, float factor, int64_t n) {
    T* a = static_cast<T*>(x);
    for (int64_t i = 0; i < n; i += lanes) store<E>(a + i, load<E>(a + i, n - i) * factor, n - i);
  }

  static void gelu(In x, Out y, int64_t n) {
    const T* a = static_cast<const T*>(x);
    T* b = static_cast<T*>(y);
    for (int64_t i = 0; i < n; i += lanes) store<E>(b + i, gelu_of(load<E>(a + i, n - i)), n - i);
  }

  static void gelu_grad(In dy, In x, Out dx, int64_t n) {
    const T *g = static_cast<const T*>(dy), *a = static_cast<const T*>(x);
    T* b = static_cast<T*>(dx);
    for (int64_t i = 0; i < n; i += lanes)
      store<E>(b + i, load<E>(g + i, n - i) * gelu_derivative_of(load<E>(a + i, n - i)), n - i);
  }

  static void swiglu(In x, Out y, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row) {
      const T *gate = static_cast<const T*>(x) + 2 * row * width, *up = gate + width;
      T* out = static_cast<T*>(y) + row * width;
      for (int64_t i = 0; i < width; i += lanes) {
        const V g = load<E>(gate + i, width - i);
        store<E>(out + i, g * sigmoid(g) * load<E>(up + i, width - i), width - i);
      }
    }
  }

  static void swiglu_grad(In dy, In x, Out dx, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row) {
      const T *gate = static_cast<const T*>(x) + 2 * row * width, *up = gate + width;
      const T* dout = static_cast<const T*>(dy) + row * width;
      T *dgate = static_cast<T*>(dx) + 2 * row * width, *dup = dgate + width;
      for (int64_t i = 0; i < width; i += lanes) {
        const V g = load<E>(gate + i, width - i), d = load<E>(dout + i, width - i);
        const V s = sigmoid(g);
        const V by_gate = d * load<E>(up + i, width - i) * s * (1.0f + g * (1.0f - s));
        store<E>(dup + i, d * g * s, width - i);
        store<E>(dgate + i, by_gate, width - i);
      }
    }
  }

  static void column_sums(In x, float* sums, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row) {
      const T* a = static_cast<const T*>(x) + row * width;
      for (int64_t i = 0; i < width; i += lanes)
        store<F32>(sums + i, load<F32>(sums + i, width - i) + load<E>(a + i, width - i), width - i);
    }
  }

  static void from_f32(const float* x, Out y, int64_t n) {
    T* b = static_cast<T*>(y);
    for (int64_t i = 0; i < n; i += lanes) store<E>(b + i, load<F32>(x + i, n - i), n - i);
  }

  static void to_f32(In x, float* y, int64_t n) {
    const T* a = static_cast<const T*>(x);
    for (int64_t i = 0; i < n; i += lanes) store<F32>(y + i, load<E>(a + i, n - i), n - i);
  }

  static void add_to(CpuKernels::Typed& table) {
    table.add = add;
    table.scale = scale;
    table.gelu = gelu;
    table.gelu_grad = gelu_grad;
    table.swiglu = swiglu;
    table.swiglu_grad = swiglu_grad;
    table.column_sums = column_sums;
    table.from_f32 = from_f32;
    table.to_f32 = to_f32;
  }
};

}  // namespace

void add_elementwise(CpuKernels& table) {
  Elementwise<F32>::add_to(table.typed[0]);
  Elementwise<B16>::add_to(table.typed[1]);
}

}  // namespace katman::KATMAN_ISA
