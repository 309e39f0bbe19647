#include <cmath>

#include "core/check.h"
#include "core/cpu/reference.h"

namespace katman {
namespace {

// The matrix [rows, columns] whose transpose, row-major, is `m`.
std::vector<float> transposed(const std::vector<float>& m, int64_t rows, int64_t columns) {
  std::vector<float> t(m.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) t[i * columns + j] = m[j * rows + i];
  return t;
}

void round_to_fp8(std::vector<float>& operand, Fp8 fp8) {
  if (fp8 == Fp8::none) return;
  float amax = 0;
  for (const float x : operand) amax = std::fmax(amax, std::fabs(x));
  const float scale = fp8_scale(amax, fp8);
  for (float& x : operand) x = fp8_rounded(x * scale, fp8) / scale;
}

}  // namespace

void ReferenceBackend::gemm(const Gemm& g) {
  const auto [m, n, k] = check_gemm(g);
  std::vector<float> a = widen(g.a), b = widen(g.b);
  round_to_fp8(a, g.a_fp8);
  round_to_fp8(b, g.b_fp8);
  if (g.a_transposed) a = transposed(a, m, k);
  if (g.b_transposed) b = transposed(b, k, n);
  std::vector<float> c(m * n, 0.0f);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p)
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];

  using enum Gemm::Epilogue;
  if (g.accumulate) {
    const std::vector<float> before = widen(g.c);
    for (int64_t e = 0; e < m * n; ++e) c[e] += before[e];
  }
  if (g.epilogue == bias || g.epilogue == bias_gelu) {
    const std::vector<float> added = widen(g.bias);
    for (int64_t e = 0; e < m * n; ++e) c[e] += added[e % n];
  }
  if (g.epilogue == bias_gelu) {
    store(c, g.aux);
    c = widen(g.aux);  // what the gradient will read
    for (float& value : c) value = gelu_value(value);
  }
  if (g.epilogue == gelu_grad) {
    const std::vector<float> x = widen(g.aux);
    for (int64_t e = 0; e < m * n; ++e) c[e] *= gelu_derivative(x[e]);
  }
  store(c, g.c);
  if (g.bias_grad) bias_grad(g.a, g.bias_grad);
}

void ReferenceBackend::bias_grad(const Tensor& dy, const Tensor& db) {
  const auto [rows, width] = check_rows("bias_grad", dy, {});
  require(db.elements() == width, "bias_grad: {} columns do not fit db {}", width,
          to_string(db.shape()));
  const std::vector<float> g = widen(dy);
  std::vector<float> sums(width, 0.0f);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < width; ++j) sums[j] += g[i * width + j];
  float* out = db.data<float>();
  for (int64_t j = 0; j < width; ++j) out[j] += sums[j];
}

}  // namespace katman
