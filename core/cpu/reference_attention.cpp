// Attention as written in a textbook: one row of scores at a time.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/cpu/reference.h"

namespace katman {
namespace {

// Where one head's vectors lie in a row of qkv.
struct Columns {
  int64_t q, k, v;
};
Columns columns_of(const AttentionShape& s, int64_t head) {
  const int64_t group = head / s.queries_per_group, within = head % s.queries_per_group;
  const int64_t begin = group * (s.queries_per_group + 2) * s.head_dim;
  const int64_t k = begin + s.queries_per_group * s.head_dim;
  return {begin + within * s.head_dim, k, k + s.head_dim};
}

// The first position that position i of this sequence may look at; the last one is i itself.
int64_t first_key(const AttentionShape& s, int64_t row, int64_t i) {
  int64_t first = s.window > 0 ? std::max<int64_t>(0, i - s.window + 1) : 0;
  if (s.document_start) first = std::max<int64_t>(first, s.document_start.data<int32_t>()[row]);
  return first;
}

// What dropout multiplies probability (i, j) with: 0 or 1/(1-p).
float kept(const AttentionShape& s, int64_t sequence, int64_t head, int64_t i, int64_t j) {
  if (s.dropout == 0) return 1;
  const auto heads = s.heads_global > 0 ? s.heads_global : s.heads();
  const auto matrix = (s.sequence_begin + sequence) * heads + s.head_begin + head;
  const auto element = static_cast<uint64_t>((matrix * s.length + i) * s.length + j);
  return random_uniform(s.dropout_key, element) >= s.dropout ? 1 / (1 - s.dropout) : 0;
}

float dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
  for (int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
  return sum;
}

// Turns scores into probabilities in place; returns log sum exp of the scores.
float softmax(std::vector<float>& scores) {
  const float maximum = *std::ranges::max_element(scores);
  float total = 0;
  for (float& score : scores) total += score = std::exp(score - maximum);
  for (float& score : scores) score /= total;
  return maximum + std::log(total);
}

}  // namespace

void ReferenceBackend::attention(const Tensor& qkv, const AttentionShape& s, const Tensor& out,
                                 const Tensor& lse) {
  const int64_t tokens = check_attention(s, qkv, out), d = s.head_dim, width = s.qkv_columns();
  const float scale = 1 / std::sqrt(static_cast<float>(d));
  const std::vector<float> x = widen(qkv);
  std::vector<float> y(out.elements(), 0.0f);
  for (int64_t head = 0; head < s.heads(); ++head) {
    const Columns at = columns_of(s, head);
    for (int64_t row = 0; row < tokens; ++row) {
      const int64_t sequence = row / s.length, i = row % s.length, first = first_key(s, row, i);
      const float* origin = &x[sequence * s.length * width];  // position 0 of this sequence
      std::vector<float> p;                                   // [j - first]
      for (int64_t j = first; j <= i; ++j)
        p.push_back(scale * dot(origin + i * width + at.q, origin + j * width + at.k, d));
      lse.data<float>()[head * tokens + row] = softmax(p);
      float* result = &y[row * s.heads() * d + head * d];
      for (int64_t j = first; j <= i; ++j) {
        const float weight = p[j - first] * kept(s, sequence, head, i, j);
        for (int64_t c = 0; c < d; ++c) result[c] += weight * origin[j * width + at.v + c];
      }
    }
  }
  store(y, out);
}

void ReferenceBackend::attention_grad(const Tensor& dout, const Tensor& qkv, const Tensor& out,
                                      const Tensor& lse, const AttentionShape& s,
                                      const Tensor& dqkv) {
  const int64_t tokens = check_attention(s, qkv, out), d = s.head_dim, width = s.qkv_columns();
  check_rows("attention_grad", out, {dout});
  check_rows("attention_grad", qkv, {dqkv});
  const float scale = 1 / std::sqrt(static_cast<float>(d));
  const std::vector<float> x = widen(qkv), y = widen(out), dy = widen(dout);
  std::vector<float> dx(x.size(), 0.0f);
  for (int64_t head = 0; head < s.heads(); ++head) {
    const Columns at = columns_of(s, head);
    for (int64_t row = 0; row < tokens; ++row) {
      const int64_t sequence = row / s.length, i = row % s.length;
      const float* origin = &x[sequence * s.length * width];
      float* gradient = &dx[sequence * s.length * width];
      const float* g = &dy[(row * s.heads() + head) * d];
      // The softmax's own gradient: dS = P * (dP - sum_j P dP), and that sum is dout . out.
      const float mean = dot(g, &y[(row * s.heads() + head) * d], d);
      for (int64_t j = first_key(s, row, i); j <= i; ++j) {
        const float *q = origin + i * width + at.q, *k = origin + j * width + at.k;
        const float p = std::exp(scale * dot(q, k, d) - lse.data<float>()[head * tokens + row]);
        const float mask = kept(s, sequence, head, i, j);
        const float ds = p * (mask * dot(g, origin + j * width + at.v, d) - mean) * scale;
        for (int64_t c = 0; c < d; ++c) {
          gradient[i * width + at.q + c] += ds * k[c];
          gradient[j * width + at.k + c] += ds * q[c];
          gradient[j * width + at.v + c] += p * mask * g[c];
        }
      }
    }
  }
  store(dx, dqkv);
}

void ReferenceBackend::attention_cached(const Tensor& qkv, const AttentionShape& s, int64_t past,
                                        const Tensor& k_cache, const Tensor& v_cache,
                                        const Tensor& out) {
  const int64_t tokens = check_attention(s, qkv, out), d = s.head_dim, width = s.qkv_columns();
  const int64_t capacity = check_caches(s, past, qkv, k_cache, v_cache);
  const float scale = 1 / std::sqrt(static_cast<float>(d));
  const std::vector<float> x = widen(qkv);
  std::vector<float> keys = widen(k_cache), values = widen(v_cache), y(out.elements(), 0.0f);
  const auto cached = [&](std::vector<float>& cache, int64_t sequence, int64_t j, int64_t group) {
    return &cache[((sequence * capacity + j) * s.groups + group) * d];
  };
  for (int64_t row = 0; row < tokens; ++row) {
    const int64_t sequence = row / s.length, i = past + row % s.length;
    for (int64_t group = 0; group < s.groups; ++group) {
      const Columns at = columns_of(s, group * s.queries_per_group);
      std::copy_n(&x[row * width + at.k], d, cached(keys, sequence, i, group));
      std::copy_n(&x[row * width + at.v], d, cached(values, sequence, i, group));
    }
    for (int64_t head = 0; head < s.heads(); ++head) {
      const int64_t group = head / s.queries_per_group, first = first_key(s, row, i);
      std::vector<float> p;  // [j - first]
      for (int64_t j = first; j <= i; ++j)
        p.push_back(scale * dot(&x[row * width + columns_of(s, head).q],
                                cached(keys, sequence, j, group), d));
      softmax(p);
      for (int64_t j = first; j <= i; ++j)
        for (int64_t c = 0; c < d; ++c)
          y[(row * s.heads() + head) * d + c] +=
              p[j - first] * cached(values, sequence, j, group)[c];
    }
  }
  store(keys, k_cache);
  store(values, v_cache);
  store(y, out);
}

}  // namespace katman
