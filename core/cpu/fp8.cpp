#include "core/cpu/fp8.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/cpu/parallel.h"

namespace katman {
namespace {

constexpr int64_t grain = 1 << 14;

template <class T>
float largest_size(const T* x, int64_t n, int threads) {
  std::atomic<float> most = 0;
  parallel_ranges(threads, n, grain, [&](int64_t begin, int64_t end) {
    float mine = 0;
    for (int64_t i = begin; i < end; ++i) {
      const float size = std::abs(static_cast<float>(x[i]));
      mine = size > mine ? size : mine;
    }
    for (float seen = most; seen < mine && !most.compare_exchange_weak(seen, mine);) {
    }
  });
  return most;
}

template <class T, Fp8 fp8>
void round_elements(const T* x, T* y, int64_t n, int threads) {
  const float scale = fp8_scale(largest_size(x, n, threads), fp8), inverse = 1 / scale;
  parallel_ranges(threads, n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      y[i] = T(fp8_rounded(static_cast<float>(x[i]) * scale, fp8) * inverse);
  });
}

template <class T>
void round_as(const Tensor& x, const Tensor& y, Fp8 fp8, int threads) {
  if (fp8 == Fp8::e4m3)
    round_elements<T, Fp8::e4m3>(x.data<T>(), y.data<T>(), x.elements(), threads);
  else
    round_elements<T, Fp8::e5m2>(x.data<T>(), y.data<T>(), x.elements(), threads);
}

}  // namespace

Tensor rounded_to_fp8(Backend& backend, const Tensor& x, Fp8 fp8, int threads) {
  const Tensor y = backend.empty(x.shape(), x.dtype());
  if (x.dtype() == DType::f32)
    round_as<float>(x, y, fp8, threads);
  else
    round_as<bf16>(x, y, fp8, threads);
  return y;
}

}  // namespace katman
