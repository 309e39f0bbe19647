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
  const Tensor wide = g.a.dtype() == DType::f32 ? g.a : floats(pool, {m, k});
  if (g.a.dtype() != DType::f32) kernels(g.a.dtype()).to_f32(g.a.raw(), wide.data<float>(), m * k);
  const bool direct = g.c.dtype() == DType::f32;
  const Tensor sums = direct ? g.c : floats(pool, {m, n});
  const Tensor shift = bias ? floats(pool, {n}) : Tensor();
  if (bias) kernels(g.bias.dtype()).to_f32(g.bias.raw(), shift.data<float>(), n);
  parallel_ranges(
      threads, n, grain / k + 1, [&, rows = m, width = k, columns = n](int64_t begin, int64_t end) {
        float* y = sums.data<float>();
        kernels(g.b.dtype())
            .few_rows(wide.data<float>(), rows, width, g.b.raw(), begin, end, width, y, columns);
        for (int64_t row = 0; row < rows; ++row) {
          float* part = y + row * columns + begin;
          if (bias) kernels(DType::f32).add(part, shift.data<float>() + begin, part, end - begin);
          if (!direct)
            kernels(g.c.dtype())
                .from_f32(part, g.c.raw() + (row * columns + begin) * bytes_of(g.c.dtype()),
                          end - begin);
        }
      });
}

}  // namespace katman
