#include "core/cpu/few_rows.h"

#include "core/cpu/kernels/kernels.h"
#include "core/cpu/parallel.h"

namespace katman {
namespace {

constexpr int64_t grain = 1 << 15;  // elements of a weight below which another thread does not pay

const CpuKernels::Typed& kernels(DType type) { return cpu_kernels().typed[type == DType::bf16]; }

Tensor floats(Pool& pool, const Shape& shape) {
  return Tensor(pool.take(4 * shape.elements()), 0, shape, DType::f32);
}

}  // namespace

bool is_few_rows(const Gemm& g, const GemmSize& size) {
  return size.m <= most_few_rows && size.m > 0 && size.n > 0 && g.b_is_weight && g.b_transposed &&
         !g.a_transposed && !g.accumulate;
}

void multiply_few_rows(const Gemm& g, const GemmSize& size, bool bias, Pool& pool, int threads) {
  const auto [m, n, k] = size;
  const bool direct = g.c.dtype() == DType::f32;
  const Tensor sums = direct ? g.c : floats(pool, {m, n});
  parallel_ranges(threads, n, grain / k + 1,
                  [&, rows = m, width = k, columns = n](int64_t begin, int64_t end) {
                    float* y = sums.data<float>();
                    kernels(g.b.dtype())
                        .few_rows(g.a.raw(), rows, g.b.raw(), bias ? g.bias.raw() : nullptr, begin,
                                  end, width, y, columns);
                    if (direct) return;
                    for (int64_t row = 0; row < rows; ++row) {
                      const int64_t at = row * columns + begin;
                      kernels(g.c.dtype())
                          .from_f32(y + at, g.c.raw() + at * bytes_of(g.c.dtype()), end - begin);
                    }
                  });
}

}  // namespace katman
