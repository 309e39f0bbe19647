// The two ends of the model and the optimizer: embedding, cross-entropy, AdamW.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/cpu/reference.h"

namespace katman {

void ReferenceBackend::embed(const Tensor& ids, const Tensor& table, int64_t vocab_begin,
                             const Tensor& positions, int64_t length, int64_t first_position,
                             const Tensor& y) {
  const auto [rows, width] = check_embed(ids, table, positions, length, first_position, y);
  const std::vector<float> words = widen(table);
  const std::vector<float> places = positions ? widen(positions) : std::vector<float>();
  std::vector<float> out(rows * width, 0.0f);
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t word = ids.data<int32_t>()[t] - vocab_begin;
    const bool mine = word >= 0 && word < table.extent(0);
    const int64_t place = first_position + t % length;
    for (int64_t j = 0; j < width; ++j) {
      if (mine) out[t * width + j] += words[word * width + j];
      if (positions) out[t * width + j] += places[place * width + j];
    }
  }
  store(out, y);
}

void ReferenceBackend::embed_grad(const Tensor& dy, const Tensor& ids, int64_t vocab_begin,
                                  int64_t length, int64_t first_position, const Tensor& dtable,
                                  const Tensor& dpositions) {
  const auto [rows, width] = check_embed(ids, dtable, dpositions, length, first_position, dy);
  const std::vector<float> dout = widen(dy);
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t word = ids.data<int32_t>()[t] - vocab_begin;
    const bool mine = word >= 0 && word < dtable.extent(0);
    const int64_t place = first_position + t % length;
    for (int64_t j = 0; j < width; ++j) {
      if (mine) dtable.data<float>()[word * width + j] += dout[t * width + j];
      if (dpositions) dpositions.data<float>()[place * width + j] += dout[t * width + j];
    }
  }
}

void ReferenceBackend::xent_stats(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                                  int64_t valid_columns, const Tensor& stats) {
  const auto [rows, width] = check_xent(logits, targets, valid_columns, stats, 1);
  const std::vector<float> x = widen(logits);
  for (int64_t t = 0; t < rows; ++t) {
    const float* row = &x[t * width];
    float maximum = -std::numeric_limits<float>::infinity(), total = 0;
    for (int64_t j = 0; j < valid_columns; ++j) maximum = std::max(maximum, row[j]);
    for (int64_t j = 0; j < valid_columns; ++j) total += std::exp(row[j] - maximum);
    const int64_t target = targets.data<int32_t>()[t] - vocab_begin;
    const bool mine = targets.data<int32_t>()[t] >= 0 && target >= 0 && target < valid_columns;
    float* out = stats.data<float>() + 3 * t;
    out[0] = maximum;
    out[1] = total;
    out[2] = mine ? row[target] : 0;
  }
}

void ReferenceBackend::xent_finish(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                                   int64_t valid_columns, const Tensor& all_stats, bool write_grad,
                                   const Tensor& loss) {
  const int64_t parts = logits.extent(0) ? all_stats.elements() / (3 * logits.extent(0)) : 1;
  const auto [rows, width] = check_xent(logits, targets, valid_columns, all_stats, parts);
  std::vector<float> x = widen(logits);
  for (int64_t t = 0; t < rows; ++t) {
    const auto stat = [&](int64_t part, int which) {
      return all_stats.data<float>()[(part * rows + t) * 3 + which];
    };
    float maximum = stat(0, 0), total = 0, target_logit = 0;
    for (int64_t part = 1; part < parts; ++part) maximum = std::max(maximum, stat(part, 0));
    for (int64_t part = 0; part < parts; ++part) {
      total += stat(part, 1) * std::exp(stat(part, 0) - maximum);
      target_logit += stat(part, 2);
    }
    const bool counted = targets.data<int32_t>()[t] >= 0;
    loss.data<float>()[t] = counted ? maximum + std::log(total) - target_logit : 0;
    const int64_t target = targets.data<int32_t>()[t] - vocab_begin;
    for (int64_t j = 0; j < width; ++j) {
      float& value = x[t * width + j];
      const float p = std::exp(value - maximum) / total - (j == target ? 1.0f : 0.0f);
      value = counted && j < valid_columns ? p : 0;
    }
  }
  if (write_grad) store(x, logits);
}

void ReferenceBackend::sum_squares(const Tensor& x, const Tensor& out) {
  double total = 0;
  for (float value : widen(x)) total += static_cast<double>(value) * value;
  *out.data<float>() += static_cast<float>(total);
}

void ReferenceBackend::sum(const Tensor& x, const Tensor& out) {
  double total = 0;
  for (float value : widen(x)) total += value;
  *out.data<float>() += static_cast<float>(total);
}

void ReferenceBackend::adamw(const AdamW& s) {
  check_adamw(s);
  const auto t = static_cast<double>(s.step);
  const auto unbias1 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(s.beta1), t)));
  const auto unbias2 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(s.beta2), t)));
  float *master = s.master.data<float>(), *m = s.m.data<float>(), *v = s.v.data<float>();
  const float* grad = s.grad.data<float>();
  for (int64_t e = 0; e < s.master.elements(); ++e) {
    const float g = grad[e] * s.grad_scale;
    m[e] = s.beta1 * m[e] + (1 - s.beta1) * g;
    v[e] = s.beta2 * v[e] + (1 - s.beta2) * g * g;
    const float direction = m[e] * unbias1 / (std::sqrt(v[e] * unbias2) + s.epsilon);
    master[e] -= s.rate * (direction + s.decay * master[e]);
  }
  if (s.value.raw() != s.master.raw()) store(widen(s.master), s.value);
}

}  // namespace katman
