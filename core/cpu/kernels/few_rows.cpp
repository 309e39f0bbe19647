// Products of a few vectors with a matrix, which is read once: what generation is made of.
#include "core/cpu/kernels/blocks.h"
#include "core/cpu/kernels/families.h"
#include "core/cpu/kernels/row_dot.h"

namespace katman::KATMAN_ISA {
namespace {

constexpr int most_together = 4;  // rows of the matrix, and vectors, whose sums grow side by side

// As many rows as leave room in the registers for their sums with `count` vectors.
constexpr int rows_beside(int count) {
  const int room = tile_rows * tile_vectors * 2 / 3 / count;
  return room < 1 ? 1 : room < most_together ? room : most_together;
}

inline float bias_of(const float* bias) { return *bias; }
inline float bias_of(const uint16_t* bias) { return value_of(*bias); }

template <class Dot>
struct FewRows {
  using T = typename Dot::T;
  using Operand = typename Dot::Operand;

  template <int Rows, int Count, class Read>
  static void add(V (&sums)[Rows][Count], const T* x, const T* w, int64_t width, Read read) {
    Operand weights[Rows];
#pragma GCC unroll 4
    for (int row = 0; row < Rows; ++row) weights[row] = read(w + row * width);
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v) {
      const Operand vector = read(x + v * width);
#pragma GCC unroll 4
      for (int row = 0; row < Rows; ++row)
        sums[row][v] = Dot::add(sums[row][v], vector, weights[row]);
    }
  }

  // `Rows` rows of w times `Count` vectors.
  template <int Rows, int Count>
  static void block(const T* x, const T* w, const T* bias, int64_t width, float* y,
                    int64_t y_stride) {
    V sums[Rows][Count] = {};
    int64_t i = 0;
    for (; i + Dot::step <= width; i += Dot::step) {
      add(sums, x + i, w + i, width, Dot::read);
      // What comes next: a row is too short for the processor to find out by itself.
#pragma GCC unroll 4
      for (int row = 0; row < Rows; ++row) __builtin_prefetch(w + (Rows + row) * width + i);
    }
    if (i < width)
      add(sums, x + i, w + i, width, [&](const T* p) { return read_rest<Dot>(p, width - i); });
#pragma GCC unroll 4
    for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v)
        y[v * y_stride + row] = sum_of(sums[row][v]) + (bias ? bias_of(bias + row) : 0.0f);
  }

  template <int Count>
  static void vectors(const T* x, const T* w, const T* bias, int64_t rows, int64_t width, float* y,
                      int64_t y_stride) {
    constexpr int together = rows_beside(Count);
    const auto bias_at = [&](int64_t row) { return bias ? bias + row : nullptr; };
    int64_t row = 0;
    for (; row + together <= rows; row += together)
      block<together, Count>(x, w + row * width, bias_at(row), width, y + row, y_stride);
    for (; row < rows; ++row)
      block<1, Count>(x, w + row * width, bias_at(row), width, y + row, y_stride);
  }

  static void few_rows(In vectors_of, int64_t count, In weights, In bias_of_rows, int64_t begin,
                       int64_t end, int64_t width, float* y, int64_t y_stride) {
    const T* x = static_cast<const T*>(vectors_of);
    const T* bias = static_cast<const T*>(bias_of_rows);
    // Few enough rows that a second pass over them finds them in the first cache.
    for (int64_t row = begin; row < end; row += most_together) {
      const int64_t rows = end - row < most_together ? end - row : most_together;
      const T* w = static_cast<const T*>(weights) + row * width;
      const T* shift = bias ? bias + row : nullptr;
      int64_t v = 0;
      for (; v + 4 <= count; v += 4)
        vectors<4>(x + v * width, w, shift, rows, width, y + v * y_stride + row, y_stride);
      const T* rest = x + v * width;
      float* to = y + v * y_stride + row;
      if (count - v == 3) vectors<3>(rest, w, shift, rows, width, to, y_stride);
      if (count - v == 2) vectors<2>(rest, w, shift, rows, width, to, y_stride);
      if (count - v == 1) vectors<1>(rest, w, shift, rows, width, to, y_stride);
    }
  }
};

}  // namespace

void add_few_rows(CpuKernels& table) {
  table.typed[0].few_rows = FewRows<WideDot<F32>>::few_rows;
  table.typed[1].few_rows = FewRows<HalfRowDot>::few_rows;
}

}  // namespace katman::KATMAN_ISA
