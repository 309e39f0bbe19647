// The kernels of generation on every instruction set that this processor has, not on the best
// alone.
#include <gtest/gtest.h>

#include <cmath>

#include "core/bf16.h"
#include "core/cpu/kernels/choose.h"
#include "core/random.h"

namespace katman::testing {
namespace {

// Values in f32 and as a kernel for `type` (0: f32, 1: bf16) wants them; equal in both.
struct Operand {
  Operand(size_t count, int type, std::string_view name) : values(count), halves(count) {
    for (size_t i = 0; i < count; ++i) {
      halves[i] = bf16(random_normal(Key(7).at(name), i));
      values[i] = type == 1 ? static_cast<float>(halves[i]) : random_normal(Key(7).at(name), i);
    }
  }
  In as(int type, size_t element = 0) const {
    return type == 1 ? static_cast<In>(&halves[element]) : &values[element];
  }
  std::vector<float> values;
  std::vector<bf16> halves;
};

TEST(CpuKernels, a_few_rows_times_a_weight_whatever_the_sizes) {
  constexpr int64_t rows = 11, most = 8, untouched = -77;
  for (const CpuKernels& table : runnable_cpu_kernels())
    for (const int type : {0, 1})
      for (const int64_t width : {1, 15, 16, 17, 31, 32, 33, 64, 100, 768}) {
        const Operand x(most * width, type, "x"), w((rows + 4) * width, type, "w"),
            bias(rows, type, "bias");
        for (int64_t count = 1; count <= most; ++count)
          for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, rows}, {3, 4}, {1, 9}}) {
            SCOPED_TRACE(::testing::Message()
                         << table.name << " type " << type << ": " << count << " rows of " << width
                         << " times " << begin << "-" << end);
            std::vector<float> y(count * rows, untouched);
            table.typed[type].few_rows(x.as(type), count, w.as(type), bias.as(type), begin, end,
                                       width, y.data(), rows);
            for (int64_t v = 0; v < count; ++v)
              for (int64_t row = 0; row < rows; ++row) {
                double sum = row >= begin && row < end ? bias.values[row] : untouched;
                for (int64_t i = 0; i < width && row >= begin && row < end; ++i)
                  sum += static_cast<double>(x.values[v * width + i]) * w.values[row * width + i];
                ASSERT_NEAR(y[v * rows + row], sum, 2e-6 * width + 1e-5) << v << ", " << row;
              }
          }
      }
}

// What thread a row falls to must not change a bit of it.
TEST(CpuKernels, a_few_rows_are_the_same_bits_however_the_weight_is_cut) {
  constexpr int64_t rows = 13, count = 5, width = 200;
  for (const CpuKernels& table : runnable_cpu_kernels())
    for (const int type : {0, 1}) {
      const Operand x(count * width, type, "x"), w((rows + 4) * width, type, "w");
      std::vector<float> whole(count * rows), cut(count * rows);
      const auto run = [&](int64_t begin, int64_t end, std::vector<float>& y) {
        table.typed[type].few_rows(x.as(type), count, w.as(type), nullptr, begin, end, width,
                                   y.data(), rows);
      };
      run(0, rows, whole);
      for (int64_t at = 1; at < rows; ++at) {
        run(0, at, cut);
        run(at, rows, cut);
        EXPECT_EQ(whole, cut) << table.name << " type " << type << " cut at " << at;
      }
    }
}

// softmax(q . keys * scale) values over rows [first, last], in double.
std::vector<double> attended(const Operand& q, const Operand& k, const Operand& v, int64_t stride,
                             int64_t first, int64_t last, int64_t d, double scale) {
  std::vector<double> out(d);
  double total = 0;
  for (int64_t j = first; j <= last; ++j) {
    double score = 0;
    for (int64_t c = 0; c < d; ++c)
      score += static_cast<double>(q.values[c]) * k.values[j * stride + c];
    const double p = std::exp(score * scale);
    total += p;
    for (int64_t c = 0; c < d; ++c) out[c] += p * v.values[j * stride + c];
  }
  for (double& value : out) value /= total;
  return out;
}

TEST(CpuKernels, one_query_attends_to_a_cache_whatever_the_sizes) {
  for (const CpuKernels& table : runnable_cpu_kernels())
    for (const int type : {0, 1})
      for (const int64_t d : {1, 8, 16, 24, 40, 64, 80, 96, 128})
        for (const auto& [first, last] : {std::pair<int64_t, int64_t>{0, 0}, {0, 40}, {17, 31}}) {
          SCOPED_TRACE(::testing::Message() << table.name << " type " << type << ": heads of " << d
                                            << ", keys " << first << " to " << last);
          const int64_t stride = 2 * d, length = last + 1;
          const Operand q(d, type, "q"), k(length * stride, type, "k"),
              v(length * stride, type, "v");
          std::vector<float> scores(length + 16), wide(d);
          std::vector<bf16> half(d);
          const float scale = 1 / std::sqrt(static_cast<float>(d));
          table.typed[type].attend_one(q.as(type), k.as(type), v.as(type), stride, first, last, d,
                                       scale, scores.data(),
                                       type == 1 ? static_cast<Out>(half.data()) : wide.data());
          const auto expected = attended(q, k, v, stride, first, last, d, scale);
          for (int64_t c = 0; c < d; ++c)
            ASSERT_NEAR(type == 1 ? static_cast<float>(half[c]) : wide[c], expected[c],
                        type == 1 ? 0.01 * std::abs(expected[c]) + 1e-3 : 1e-5)
                << c;
        }
}

}  // namespace
}  // namespace katman::testing
