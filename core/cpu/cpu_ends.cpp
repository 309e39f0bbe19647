// The two ends of the model, the optimizer, and what depends on random numbers or positions.
#include <cmath>

#include "core/check.h"
#include "core/cpu/cpu.h"
#include "core/cpu/parallel.h"

namespace katman {
namespace {

constexpr int64_t grain = 1 << 14;

float value_of(float x) { return x; }
float value_of(bf16 x) { return static_cast<float>(x); }

// Calls f with a pointer to t's elements in their type.
template <class F>
void with_type(const Tensor& t, F f) {
  if (t.dtype() == DType::f32)
    f(t.data<float>());
  else
    f(t.data<bf16>());
}

std::byte* row_of(const Tensor& t, int64_t row) {
  return t.raw() + row * t.extent(1) * bytes_of(t.dtype());
}

}  // namespace

void CpuBackend::dropout(const Tensor& x, float p, Key key, int64_t row_begin, int64_t column_begin,
                         int64_t columns_global) {
  const auto [rows, columns] = check_rows("dropout", x, {});
  const int64_t width = columns;
  with_type(x, [&](auto* data) {
    using T = std::remove_pointer_t<decltype(data)>;
    parallel_ranges(threads_, rows, grain / width + 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        for (int64_t j = 0; j < width; ++j) {
          const auto element = (row_begin + t) * columns_global + column_begin + j;
          const bool keep = random_uniform(key, static_cast<uint64_t>(element)) >= p;
          T& value = data[t * width + j];
          value = keep ? T(value_of(value) / (1 - p)) : T(0.0f);
        }
    });
  });
}

void CpuBackend::rope(const Tensor& qkv, const AttentionShape& s, const Tensor& frequencies,
                      int64_t past, int direction) {
  const int64_t tokens = check_attention(s, qkv, {}), d = s.head_dim, half = d / 2;
  check_rope(s, frequencies);
  const Tensor turns = empty({s.length, 2 * half}, DType::f32);  // cosines, then sines
  float* const turn = turns.data<float>();
  parallel_ranges(threads_, s.length, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < half; ++c) {
        const double angle = direction * static_cast<double>(past + i) *
                             static_cast<double>(frequencies.data<float>()[c]);
        turn[2 * i * half + c] = static_cast<float>(std::cos(angle));
        turn[(2 * i + 1) * half + c] = static_cast<float>(std::sin(angle));
      }
  });
  const int64_t vectors = s.groups * (s.queries_per_group + 2);
  with_type(qkv, [&](auto* data) {
    using T = std::remove_pointer_t<decltype(data)>;
    parallel_ranges(threads_, tokens, grain / s.qkv_columns() + 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector) {
          if (vector % (s.queries_per_group + 2) == s.queries_per_group + 1) continue;  // v
          T* at = data + row * s.qkv_columns() + vector * d;
          const float *cosine = turn + row % s.length * 2 * half, *sine = cosine + half;
          for (int64_t c = 0; c < half; ++c) {
            const float a = value_of(at[c]), b = value_of(at[c + half]);
            at[c] = T(a * cosine[c] - b * sine[c]);
            at[c + half] = T(b * cosine[c] + a * sine[c]);
          }
        }
    });
  });
}

void CpuBackend::embed(const Tensor& ids, const Tensor& table, int64_t vocab_begin,
                       const Tensor& positions, int64_t length, int64_t first_position,
                       const Tensor& y) {
  const auto [rows, columns] = check_embed(ids, table, positions, length, first_position, y);
  const int64_t width = columns;
  parallel_ranges(threads_, rows, grain / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t word = ids.data<int32_t>()[t] - vocab_begin;
      const bool mine = word >= 0 && word < table.extent(0);
      const int64_t place = first_position + t % length;
      kernels(y).embed(mine ? row_of(table, word) : nullptr,
                       positions ? row_of(positions, place) : nullptr, row_of(y, t), width);
    }
  });
}

// Each thread adds its columns of all rows, in the rows' order.
void CpuBackend::embed_grad(const Tensor& dy, const Tensor& ids, int64_t vocab_begin,
                            int64_t length, int64_t first_position, const Tensor& dtable,
                            const Tensor& dpositions) {
  const auto [count, columns] = check_embed(ids, dtable, dpositions, length, first_position, dy);
  const int64_t rows = count, width = columns;
  parallel_ranges(threads_, width, 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < rows; ++t) {
      const int64_t word = ids.data<int32_t>()[t] - vocab_begin;
      const int64_t place = first_position + t % length;
      const std::byte* from = row_of(dy, t) + begin * bytes_of(dy.dtype());
      const auto add_to = [&](const Tensor& sum, int64_t row) {
        kernels(dy).add_to_f32(from, sum.data<float>() + row * width + begin, end - begin);
      };
      if (word >= 0 && word < dtable.extent(0)) add_to(dtable, word);
      if (dpositions) add_to(dpositions, place);
    }
  });
}

void CpuBackend::xent_stats(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                            int64_t valid_columns, const Tensor& stats) {
  const auto [rows, width] = check_xent(logits, targets, valid_columns, stats, 1);
  parallel_ranges(threads_, rows, grain / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* out = stats.data<float>() + 3 * t;
      kernels(logits).xent_stats(row_of(logits, t), valid_columns, &out[0], &out[1]);
      const int64_t target = targets.data<int32_t>()[t] - vocab_begin;
      const bool mine = targets.data<int32_t>()[t] >= 0 && target >= 0 && target < valid_columns;
      out[2] = 0;
      if (mine)
        with_type(logits,
                  [&](const auto* x) { out[2] = value_of(x[t * logits.extent(1) + target]); });
    }
  });
}

void CpuBackend::xent_finish(const Tensor& logits, const Tensor& targets, int64_t vocab_begin,
                             int64_t valid_columns, const Tensor& all_stats, bool write_grad,
                             const Tensor& loss) {
  const int64_t parts = logits.extent(0) ? all_stats.elements() / (3 * logits.extent(0)) : 1;
  const auto [count, columns] = check_xent(logits, targets, valid_columns, all_stats, parts);
  const int64_t rows = count, width = columns;
  const auto finish_row = [&](int64_t t) {
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
    if (!write_grad) return;
    const int64_t target = targets.data<int32_t>()[t] - vocab_begin;
    const bool mine = counted && target >= 0 && target < valid_columns;
    // The target's p - 1 from its logit: after rounding p, little of the difference would be left.
    float p = 0;
    with_type(logits, [&](const auto* x) {
      if (mine) p = std::exp(value_of(x[t * width + target]) - maximum) / total;
    });
    kernels(logits).softmax(row_of(logits, t), counted ? valid_columns : 0, width, maximum, total);
    with_type(logits, [&](auto* x) {
      using T = std::remove_pointer_t<decltype(x)>;
      if (mine) x[t * width + target] = T(p - 1);
    });
  };
  parallel_ranges(threads_, rows, grain / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) finish_row(t);
  });
}

double CpuBackend::sum_in_blocks(const Tensor& x, double (*kernel)(const float*, int64_t)) const {
  constexpr int64_t block = 1 << 16;
  const int64_t blocks = (x.elements() + block - 1) / block;
  std::vector<double> sums(static_cast<size_t>(blocks));
  parallel_ranges(threads_, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      sums[static_cast<size_t>(b)] =
          kernel(x.data<float>() + b * block, std::min(block, x.elements() - b * block));
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

void CpuBackend::sum_squares(const Tensor& x, const Tensor& out) {
  *out.data<float>() += static_cast<float>(sum_in_blocks(x, kernels_.sum_squares));
}

void CpuBackend::sum(const Tensor& x, const Tensor& out) {
  *out.data<float>() += static_cast<float>(sum_in_blocks(x, kernels_.sum));
}

void CpuBackend::adamw(const AdamW& s) {
  check_adamw(s);
  const auto t = static_cast<double>(s.step);
  const auto unbias1 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(s.beta1), t)));
  const auto unbias2 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(s.beta2), t)));
  parallel_ranges(threads_, s.master.elements(), grain, [&](int64_t begin, int64_t end) {
    kernels(s.value).adamw(
        s.value.raw() + begin * bytes_of(s.value.dtype()), s.master.data<float>() + begin,
        s.m.data<float>() + begin, s.v.data<float>() + begin, s.grad.data<float>() + begin,
        end - begin, s.rate, s.beta1, s.beta2, s.epsilon, s.decay, s.grad_scale, unbias1, unbias2);
  });
}

}  // namespace katman
