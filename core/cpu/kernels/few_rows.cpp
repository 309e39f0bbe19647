// Products of a few vectors with a matrix, which is read once: what generation is made of.
#include "core/cpu/kernels/families.h"
#include "core/cpu/kernels/simd.h"

namespace katman::KATMAN_ISA {
namespace {

constexpr int64_t together = 4;  // rows of the matrix whose sums grow side by side

template <class E>
struct FewRows {
  using T = typename E::type;

  // `Rows` rows of w, each of `width`, times `Count` vectors that lie `stride` apart.
  template <int Rows, int Count>
  static void block(const float* x, int64_t stride, const T* w, int64_t width, float* y,
                    int64_t y_stride) {
    V sums[Rows][Count] = {};
    int64_t i = 0;
    for (; i + lanes <= width; i += lanes)
      for (int row = 0; row < Rows; ++row) {
        const V weight = E::load(w + row * width + i);
        for (int v = 0; v < Count; ++v) sums[row][v] += weight * F32::load(x + v * stride + i);
      }
    if (i < width)
      for (int row = 0; row < Rows; ++row) {
        const V weight = load<E>(w + row * width + i, width - i);
        for (int v = 0; v < Count; ++v)
          sums[row][v] += weight * load<F32>(x + v * stride + i, width - i);
      }
    for (int row = 0; row < Rows; ++row)
      for (int v = 0; v < Count; ++v) y[v * y_stride + row] = sum_of(sums[row][v]);
  }

  template <int Rows>
  static void rows(const float* x, int64_t count, int64_t stride, const T* w, int64_t width,
                   float* y, int64_t y_stride) {
    int64_t v = 0;
    for (; v + 4 <= count; v += 4)
      block<Rows, 4>(x + v * stride, stride, w, width, y + v * y_stride, y_stride);
    for (; v < count; ++v)
      block<Rows, 1>(x + v * stride, stride, w, width, y + v * y_stride, y_stride);
  }

  static void few_rows(const float* x, int64_t count, int64_t stride, In weights, int64_t begin,
                       int64_t end, int64_t width, float* y, int64_t y_stride) {
    const T* w = static_cast<const T*>(weights);
    int64_t row = begin;
    for (; row + together <= end; row += together)
      rows<together>(x, count, stride, w + row * width, width, y + row, y_stride);
    for (; row < end; ++row) rows<1>(x, count, stride, w + row * width, width, y + row, y_stride);
  }
};

}  // namespace

void add_few_rows(CpuKernels& table) {
  table.typed[0].few_rows = FewRows<F32>::few_rows;
  table.typed[1].few_rows = FewRows<B16>::few_rows;
}

}  // namespace katman::KATMAN_ISA
