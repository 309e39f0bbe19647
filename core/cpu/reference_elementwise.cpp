#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/cpu/reference.h"

namespace katman {
namespace {

constexpr float root_two_over_pi = 0.7978845608f, cubic = 0.044715f;

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

std::vector<float> widen(const Tensor& t) {
  if (t.dtype() == DType::f32) return {t.data<float>(), t.data<float>() + t.elements()};
  std::vector<float> values(t.elements());
  std::transform(t.data<bf16>(), t.data<bf16>() + t.elements(), values.begin(),
                 [](bf16 value) { return static_cast<float>(value); });
  return values;
}

void store(const std::vector<float>& values, const Tensor& t) {
  if (t.dtype() == DType::f32) {
    std::ranges::copy(values, t.data<float>());
  } else {
    std::ranges::transform(values, t.data<bf16>(), [](float value) { return bf16(value); });
  }
}

float gelu_value(float x) {
  return 0.5f * x * (1 + std::tanh(root_two_over_pi * (x + cubic * x * x * x)));
}

float gelu_derivative(float x) {
  const float t = std::tanh(root_two_over_pi * (x + cubic * x * x * x));
  return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * root_two_over_pi * (1 + 3 * cubic * x * x);
}

void ReferenceBackend::cast(const Tensor& x, const Tensor& y) {
  check_same_elements("cast", x, y);
  store(widen(x), y);
}

void ReferenceBackend::add(const Tensor& x, const Tensor& y, const Tensor& out) {
  check_same_elements("add", x, y);
  check_same_elements("add", x, out);
  std::vector<float> total = widen(x);
  const std::vector<float> other = widen(y);
  for (size_t e = 0; e < total.size(); ++e) total[e] += other[e];
  store(total, out);
}

void ReferenceBackend::scale(const Tensor& x, float factor) {
  std::vector<float> values = widen(x);
  for (float& value : values) value *= factor;
  store(values, x);
}

void ReferenceBackend::gelu(const Tensor& x, const Tensor& y) {
  check_same_elements("gelu", x, y);
  std::vector<float> values = widen(x);
  for (float& value : values) value = gelu_value(value);
  store(values, y);
}

void ReferenceBackend::gelu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) {
  check_same_elements("gelu_grad", dy, x);
  check_same_elements("gelu_grad", dy, dx);
  std::vector<float> gradient = widen(dy);
  const std::vector<float> in = widen(x);
  for (size_t e = 0; e < gradient.size(); ++e) gradient[e] *= gelu_derivative(in[e]);
  store(gradient, dx);
}

void ReferenceBackend::swiglu(const Tensor& x, const Tensor& y) {
  const auto [rows, width] = check_rows("swiglu", y, {});
  check_swiglu(x, y);
  const std::vector<float> in = widen(x);
  std::vector<float> out(rows * width);
  for (int64_t t = 0; t < rows; ++t) {
    const float *gate = &in[2 * t * width], *up = gate + width;
    for (int64_t j = 0; j < width; ++j) out[t * width + j] = gate[j] * sigmoid(gate[j]) * up[j];
  }
  store(out, y);
}

void ReferenceBackend::swiglu_grad(const Tensor& dy, const Tensor& x, const Tensor& dx) {
  const auto [rows, width] = check_rows("swiglu_grad", dy, {});
  check_swiglu(x, dy);
  check_rows("swiglu_grad", x, {dx});
  const std::vector<float> in = widen(x), dout = widen(dy);
  std::vector<float> din(in.size());
  for (int64_t t = 0; t < rows; ++t) {
    const float *gate = &in[2 * t * width], *up = gate + width;
    for (int64_t j = 0; j < width; ++j) {
      const float s = sigmoid(gate[j]), g = dout[t * width + j];
      din[2 * t * width + j] = g * up[j] * s * (1 + gate[j] * (1 - s));
      din[2 * t * width + width + j] = g * gate[j] * s;
    }
  }
  store(din, dx);
}

void ReferenceBackend::rope(const Tensor& qkv, const AttentionShape& s, const Tensor& frequencies,
                            int64_t past, int direction) {
  const int64_t tokens = check_attention(s, qkv, {}), d = s.head_dim, half = d / 2;
  check_rope(s, frequencies);
  std::vector<float> x = widen(qkv);
  for (int64_t row = 0; row < tokens; ++row) {
    const auto position = static_cast<double>(past + row % s.length);
    for (int64_t vector = 0; vector < s.groups * (s.queries_per_group + 2); ++vector) {
      if (vector % (s.queries_per_group + 2) == s.queries_per_group + 1) continue;  // v
      float* at = &x[row * s.qkv_columns() + vector * d];
      for (int64_t c = 0; c < half; ++c) {
        const double angle =
            direction * position * static_cast<double>(frequencies.data<float>()[c]);
        const auto cosine = static_cast<float>(std::cos(angle));
        const auto sine = static_cast<float>(std::sin(angle));
        const float a = at[c], b = at[c + half];
        at[c] = a * cosine - b * sine;
        at[c + half] = b * cosine + a * sine;
      }
    }
  }
  store(x, qkv);
}

void ReferenceBackend::dropout(const Tensor& x, float p, Key key, int64_t row_begin,
                               int64_t column_begin, int64_t columns_global) {
  const auto [rows, width] = check_rows("dropout", x, {});
  std::vector<float> values = widen(x);
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t j = 0; j < width; ++j) {
      const int64_t element = (row_begin + t) * columns_global + column_begin + j;
      const bool keep = random_uniform(key, static_cast<uint64_t>(element)) >= p;
      values[t * width + j] = keep ? values[t * width + j] / (1 - p) : 0.0f;
    }
  }
  store(values, x);
}

}  // namespace katman
