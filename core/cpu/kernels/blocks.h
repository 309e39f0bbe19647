// Products of small blocks for attention, C [rows, columns] (+)= A B in f32. The operands are
// packed for the instruction: A row-major, B [k][columns]; in bf16 both hold pairs of neighbours
// along k in 32 bits, as vdpbf16ps wants them. Columns come in multiples of 16, k in multiples of
// `step`.
#pragma once

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "core/cpu/kernels/simd.h"

namespace katman::KATMAN_ISA {

// Operands in f32; what they are made from may be bf16.
struct DotF32 {
  using A = float;
  using B = float;
  static constexpr int64_t step = 1;  // elements along k that one multiplication takes
  static V multiply_add(V sum, const A* a, const B* b) { return sum + *a * F32::load(b); }
};

#ifdef __AVX512BF16__
struct DotB16 {
  using A = uint16_t;
  using B = uint32_t;
  static constexpr int64_t step = 2;
  static V multiply_add(V sum, const A* a, const B* b) {
    int32_t pair;
    std::memcpy(&pair, a, sizeof pair);
    return V(_mm512_dpbf16_ps(__m512(sum), __m512bh(_mm512_set1_epi32(pair)),
                              __m512bh(_mm512_loadu_si512(b))));
  }
};
#endif

// How many registers of sums a tile has: as many as leave room for the operands.
#ifdef __AVX512F__
constexpr int tile_rows = 6, tile_vectors = 4;
#else
constexpr int tile_rows = 4, tile_vectors = 1;
#endif

template <class Dot, int rows, int vectors>
inline void tile(int64_t k, const typename Dot::A* a, int64_t a_stride, const typename Dot::B* b,
                 int64_t b_stride, float* c, int64_t c_stride, bool add) {
  V sums[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
      sums[r][v] = add ? F32::load(c + r * c_stride + v * lanes) : V{};
  for (int64_t p = 0; p < k / Dot::step; ++p) {
    const typename Dot::B* row = b + p * b_stride;
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v)
        sums[r][v] =
            Dot::multiply_add(sums[r][v], a + r * a_stride + p * Dot::step, row + v * lanes);
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) F32::store(c + r * c_stride + v * lanes, sums[r][v]);
}

template <class Dot, int vectors>
inline void strip(int64_t rows, int64_t k, const typename Dot::A* a, int64_t a_stride,
                  const typename Dot::B* b, int64_t b_stride, float* c, int64_t c_stride,
                  bool add) {
  int64_t r = 0;
  for (; r + tile_rows <= rows; r += tile_rows)
    tile<Dot, tile_rows, vectors>(k, a + r * a_stride, a_stride, b, b_stride, c + r * c_stride,
                                  c_stride, add);
  for (; r + 2 <= rows; r += 2)
    tile<Dot, 2, vectors>(k, a + r * a_stride, a_stride, b, b_stride, c + r * c_stride, c_stride,
                          add);
  if (r < rows)
    tile<Dot, 1, vectors>(k, a + r * a_stride, a_stride, b, b_stride, c + r * c_stride, c_stride,
                          add);
}

template <class Dot>
inline void multiply(int64_t rows, int64_t columns, int64_t k, const typename Dot::A* a,
                     int64_t a_stride, const typename Dot::B* b, int64_t b_stride, float* c,
                     int64_t c_stride, bool add) {
  int64_t at = 0;
  for (; at + tile_vectors * lanes <= columns; at += tile_vectors * lanes)
    strip<Dot, tile_vectors>(rows, k, a, a_stride, b + at, b_stride, c + at, c_stride, add);
  for (; at < columns; at += lanes)
    strip<Dot, 1>(rows, k, a, a_stride, b + at, b_stride, c + at, c_stride, add);
}

// --- packing. Sources are rows of a matrix in memory, `stride` elements apart.

inline float value_of(float x) { return x; }
inline float value_of(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class A, class T>
inline A as_operand(T x) {
  if constexpr (sizeof(A) == sizeof(T))
    return x;
  else
    return value_of(x);
}

// to[row][k], `k_padded` to a row.
template <class Dot, class T>
inline void pack_a(const T* from, int64_t stride, int64_t rows, int64_t k, typename Dot::A* to,
                   int64_t k_padded) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t p = 0; p < k; ++p)
      to[r * k_padded + p] = as_operand<typename Dot::A>(from[r * stride + p]);
    for (int64_t p = k; p < k_padded; ++p) to[r * k_padded + p] = 0;
  }
}

// The transpose: to[column][row], `rows_padded` to a row.
template <class Dot, class T>
inline void pack_a_transposed(const T* from, int64_t stride, int64_t rows, int64_t columns,
                              typename Dot::A* to, int64_t rows_padded) {
  constexpr int64_t block = 32;  // rows that stay in the first cache while columns go by
  for (int64_t first = 0; first < rows_padded; first += block) {
    const int64_t last = first + block < rows_padded ? first + block : rows_padded;
    const int64_t real = last < rows ? last : rows;
    for (int64_t c = 0; c < columns; ++c) {
      typename Dot::A* line = to + c * rows_padded;
      for (int64_t r = first; r < real; ++r)
        line[r] = as_operand<typename Dot::A>(from[r * stride + c]);
      for (int64_t r = real > first ? real : first; r < last; ++r) line[r] = 0;
    }
  }
}

// `low` and `high` are neighbours along k.
template <class Dot, class T>
inline typename Dot::B pair_of(T low, T high) {
  if constexpr (Dot::step == 2)
    return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
  else
    return as_operand<typename Dot::B>(low);
}

// Rows are along k: to[row / step][column].
template <class Dot, class T>
inline void pack_b(const T* from, int64_t stride, int64_t rows, int64_t columns,
                   typename Dot::B* to, int64_t rows_padded, int64_t columns_padded) {
  for (int64_t r = 0; r < rows_padded; r += Dot::step) {
    typename Dot::B* line = to + r / Dot::step * columns_padded;
    const T* low = from + r * stride;
    if (r + Dot::step <= rows) {
      const T* high = low + (Dot::step - 1) * stride;
      for (int64_t c = 0; c < columns; ++c) line[c] = pair_of<Dot>(low[c], high[c]);
    } else {
      for (int64_t c = 0; c < columns; ++c)
        line[c] = r < rows ? pair_of<Dot>(low[c], T{}) : typename Dot::B{};
    }
    for (int64_t c = columns; c < columns_padded; ++c) line[c] = 0;
  }
}

// Columns are along k: to[column / step][row].
template <class Dot, class T>
inline void pack_b_transposed(const T* from, int64_t stride, int64_t rows, int64_t columns,
                              typename Dot::B* to, int64_t rows_padded) {
  constexpr int64_t block = 32;
  for (int64_t first = 0; first < rows_padded; first += block) {
    const int64_t last = first + block < rows_padded ? first + block : rows_padded;
    const int64_t real = last < rows ? last : rows;
    for (int64_t c = 0; c < columns; c += Dot::step) {
      typename Dot::B* line = to + c / Dot::step * rows_padded;
      const bool whole = c + Dot::step <= columns;
      for (int64_t r = first; r < real; ++r) {
        const T* at = from + r * stride + c;
        line[r] = pair_of<Dot>(at[0], whole ? at[Dot::step - 1] : T{});
      }
      for (int64_t r = real > first ? real : first; r < last; ++r) line[r] = 0;
    }
  }
}

}  // namespace katman::KATMAN_ISA
