// Layer norm (Ba et al., 2016) and RMS norm (Zhang and Sennrich, 2019), row by row: the latter is
// the former with a mean of 0 and no beta.
#include "core/cpu/kernels/families.h"
#include "core/cpu/kernels/simd.h"

namespace katman::KATMAN_ISA {
namespace {

template <class E>
struct Norm {
  using T = typename E::type;

  struct Moments {
    float mean, rstd;
  };

  static Moments moments(const T* x, int64_t width, float epsilon, bool centred) {
    const auto n = static_cast<float>(width);
    V total = {};
    if (centred)
      for (int64_t i = 0; i < width; i += lanes) total += load<E>(x + i, width - i);
    const float mean = centred ? sum_of(total) / n : 0;
    V squares = {};
    for (int64_t i = 0; i < width; i += lanes) {
      const V d = (load<E>(x + i, width - i) - mean) * first_lanes(width - i);
      squares += d * d;
    }
    return {mean, 1 / __builtin_sqrtf(sum_of(squares) / n + epsilon)};
  }

  static void forward(In x, In residual, In gamma, In beta, float epsilon, Out sum, Out y,
                      float* mean, float* rstd, int64_t rows, int64_t width) {
    const T *g = static_cast<const T*>(gamma), *b = static_cast<const T*>(beta);
    for (int64_t row = 0; row < rows; ++row) {
      const T* in = static_cast<const T*>(x) + row * width;
      if (residual) {
        const T* other = static_cast<const T*>(residual) + row * width;
        T* both = static_cast<T*>(sum) + row * width;
        for (int64_t i = 0; i < width; i += lanes)
          store<E>(both + i, load<E>(in + i, width - i) + load<E>(other + i, width - i), width - i);
        in = both;
      }
      const Moments at = moments(in, width, epsilon, mean != nullptr);
      T* out = static_cast<T*>(y) + row * width;
      for (int64_t i = 0; i < width; i += lanes) {
        V v = (load<E>(in + i, width - i) - at.mean) * at.rstd * load<E>(g + i, width - i);
        if (b) v += load<E>(b + i, width - i);
        store<E>(out + i, v, width - i);
      }
      if (mean) mean[row] = at.mean;
      rstd[row] = at.rstd;
    }
  }

  static void backward(In dy, In x, In gamma, const float* mean, const float* rstd, In dresidual,
                       Out dx, float* dgamma, float* dbeta, int64_t rows, int64_t width) {
    const T* g = static_cast<const T*>(gamma);
    for (int64_t row = 0; row < rows; ++row) {
      const T *in = static_cast<const T*>(x) + row * width,
              *dout = static_cast<const T*>(dy) + row * width;
      const float mu = mean ? mean[row] : 0, r = rstd[row];
      V total = {}, product = {};  // of dxhat, and of dxhat * xhat
      for (int64_t i = 0; i < width; i += lanes) {
        const int64_t left = width - i;
        const V d = load<E>(dout + i, left), xhat = (load<E>(in + i, left) - mu) * r;
        const V dxhat = d * load<E>(g + i, left);
        total += dxhat;
        product += dxhat * xhat;
        store<F32>(dgamma + i, load<F32>(dgamma + i, left) + d * xhat, left);
        if (dbeta) store<F32>(dbeta + i, load<F32>(dbeta + i, left) + d, left);
      }
      const auto n = static_cast<float>(width);
      const float by_mean = mean ? sum_of(total) / n : 0, by_size = sum_of(product) / n;
      const T* other = dresidual ? static_cast<const T*>(dresidual) + row * width : nullptr;
      T* out = static_cast<T*>(dx) + row * width;
      for (int64_t i = 0; i < width; i += lanes) {
        const int64_t left = width - i;
        const V xhat = (load<E>(in + i, left) - mu) * r;
        const V dxhat = load<E>(dout + i, left) * load<E>(g + i, left);
        V v = r * (dxhat - by_mean - xhat * by_size);
        if (other) v += load<E>(other + i, left);
        store<E>(out + i, v, left);
      }
    }
  }

  static void add_to(CpuKernels::Typed& table) {
    table.norm = forward;
    table.norm_grad = backward;
  }
};

}  // namespace

void add_norms(CpuKernels& table) {
  Norm<F32>::add_to(table.typed[0]);
  Norm<B16>::add_to(table.typed[1]);
}

}  // namespace katman::KATMAN_ISA
