#include <cmath>

#include "core/check.h"
#include "core/cpu/reference.h"

namespace katman {
namespace {

// x, or x + residual rounded to x's type and written to `sum`: what is normalised is what the
// backward pass will read.
std::vector<float> normalised_input(const Tensor& x, const Tensor& residual, const Tensor& sum) {
  if (!residual) return widen(x);
  std::vector<float> total = widen(x);
  const std::vector<float> other = widen(residual);
  for (size_t e = 0; e < total.size(); ++e) total[e] += other[e];
  store(total, sum);
  return widen(sum);
}

void add_to(const Tensor& t, const std::vector<float>& values) {
  for (size_t e = 0; e < values.size(); ++e) t.data<float>()[e] += values[e];
}

}  // namespace

void ReferenceBackend::layernorm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                                 const Tensor& beta, float epsilon, const Tensor& sum,
                                 const Tensor& y, const Tensor& mean, const Tensor& rstd) {
  const auto [rows, width] = check_norm("layernorm", x, gamma, residual, sum, {y});
  const std::vector<float> in = normalised_input(x, residual, sum);
  const std::vector<float> g = widen(gamma), b = widen(beta);
  std::vector<float> out(in.size());
  for (int64_t t = 0; t < rows; ++t) {
    const float* row = &in[t * width];
    float mu = 0, variance = 0;
    for (int64_t j = 0; j < width; ++j) mu += row[j];
    mu /= static_cast<float>(width);
    for (int64_t j = 0; j < width; ++j) variance += (row[j] - mu) * (row[j] - mu);
    const float r = 1 / std::sqrt(variance / static_cast<float>(width) + epsilon);
    for (int64_t j = 0; j < width; ++j) out[t * width + j] = (row[j] - mu) * r * g[j] + b[j];
    mean.data<float>()[t] = mu;
    rstd.data<float>()[t] = r;
  }
  store(out, y);
}

void ReferenceBackend::layernorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                                      const Tensor& mean, const Tensor& rstd,
                                      const Tensor& dresidual, const Tensor& dx,
                                      const Tensor& dgamma, const Tensor& dbeta) {
  const auto [rows, width] = check_norm("layernorm_grad", x, gamma, {}, {}, {dy, dresidual, dx});
  const std::vector<float> dout = widen(dy), in = widen(x), g = widen(gamma);
  std::vector<float> din = dresidual ? widen(dresidual) : std::vector<float>(in.size(), 0.0f);
  std::vector<float> dg(width, 0.0f), db(width, 0.0f), xhat(width), dxhat(width);
  for (int64_t t = 0; t < rows; ++t) {
    const float mu = mean.data<float>()[t], r = rstd.data<float>()[t];
    float sum = 0, product = 0;  // of dxhat, and of dxhat * xhat
    for (int64_t j = 0; j < width; ++j) {
      xhat[j] = (in[t * width + j] - mu) * r;
      dxhat[j] = dout[t * width + j] * g[j];
      sum += dxhat[j];
      product += dxhat[j] * xhat[j];
      dg[j] += dout[t * width + j] * xhat[j];
      db[j] += dout[t * width + j];
    }
    const auto n = static_cast<float>(width);
    for (int64_t j = 0; j < width; ++j)
      din[t * width + j] += r * (dxhat[j] - sum / n - xhat[j] * product / n);
  }
  store(din, dx);
  add_to(dgamma, dg);
  add_to(dbeta, db);
}

void ReferenceBackend::rmsnorm(const Tensor& x, const Tensor& residual, const Tensor& gamma,
                               float epsilon, const Tensor& sum, const Tensor& y,
                               const Tensor& rstd) {
  const auto [rows, width] = check_norm("rmsnorm", x, gamma, residual, sum, {y});
  const std::vector<float> in = normalised_input(x, residual, sum), g = widen(gamma);
  std::vector<float> out(in.size());
  for (int64_t t = 0; t < rows; ++t) {
    float squares = 0;
    for (int64_t j = 0; j < width; ++j) squares += in[t * width + j] * in[t * width + j];
    const float r = 1 / std::sqrt(squares / static_cast<float>(width) + epsilon);
    for (int64_t j = 0; j < width; ++j) out[t * width + j] = in[t * width + j] * r * g[j];
    rstd.data<float>()[t] = r;
  }
  store(out, y);
}

void ReferenceBackend::rmsnorm_grad(const Tensor& dy, const Tensor& x, const Tensor& gamma,
                                    const Tensor& rstd, const Tensor& dresidual, const Tensor& dx,
                                    const Tensor& dgamma) {
  const auto [rows, width] = check_norm("rmsnorm_grad", x, gamma, {}, {}, {dy, dresidual, dx});
  const std::vector<float> dout = widen(dy), in = widen(x), g = widen(gamma);
  std::vector<float> din = dresidual ? widen(dresidual) : std::vector<float>(in.size(), 0.0f);
  std::vector<float> dg(width, 0.0f);
  for (int64_t t = 0; t < rows; ++t) {
    const float r = rstd.data<float>()[t];
    float product = 0;  // of dxhat * xhat
    for (int64_t j = 0; j < width; ++j) {
      const float xhat = in[t * width + j] * r;
      product += dout[t * width + j] * g[j] * xhat;
      dg[j] += dout[t * width + j] * xhat;
    }
    for (int64_t j = 0; j < width; ++j) {
      const float xhat = in[t * width + j] * r;
      din[t * width + j] +=
          r * (dout[t * width + j] * g[j] - xhat * product / static_cast<float>(width));
    }
  }
  store(din, dx);
  add_to(dgamma, dg);
}

}  // namespace katman
