// Dot products of rows as they lie in memory. A unit says how `step` neighbours of one row are
// multiplied with those of another and added to sixteen sums: in f32, or with vdpbf16ps in pairs.
#pragma once

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "core/cpu/kernels/simd.h"

namespace katman::KATMAN_ISA {

// E: F32 or B16, which is widened.
template <class E>
struct WideDot {
  using T = typename E::type;
  using Operand = V;
  static constexpr int64_t step = lanes;
  static Operand read(const T* p) { return E::load(p); }
  static V add(V sums, Operand x, Operand y) { return sums + x * y; }
};

#ifdef __AVX512BF16__
struct PairDot {
  using T = uint16_t;
  using Operand = __m512bh;
  static constexpr int64_t step = 2 * lanes;
  static Operand read(const T* p) { return __m512bh(_mm512_loadu_si512(p)); }
  static V add(V sums, Operand x, Operand y) { return V(_mm512_dpbf16_ps(__m512(sums), x, y)); }
};
using HalfRowDot = PairDot;
#else
using HalfRowDot = WideDot<B16>;
#endif

// The last `count` < step elements of a row, zeros behind them.
template <class Dot>
inline typename Dot::Operand read_rest(const typename Dot::T* p, int64_t count) {
  typename Dot::T some[Dot::step] = {};
  std::memcpy(some, p, static_cast<size_t>(count) * sizeof *p);
  return Dot::read(some);
}

}  // namespace katman::KATMAN_ISA
