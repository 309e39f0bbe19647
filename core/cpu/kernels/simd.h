// Sixteen floats at a time, for code that is compiled once per instruction set (core/CMakeLists).
// Everything here lives in the namespace of its instruction set, so that no two versions of one
// function meet in the linker; for the same reason kernels include nothing with inline functions
// of its own.
#pragma once

#include <cstdint>
#include <cstring>

namespace katman::KATMAN_ISA {

using V = float __attribute__((vector_size(64)));      // 16 floats
using VI = int32_t __attribute__((vector_size(64)));   // their bits
using VU = uint32_t __attribute__((vector_size(64)));  // the same without a sign
using VH = uint16_t __attribute__((vector_size(32)));  // 16 bf16
constexpr int64_t lanes = 16;

inline V splat(float x) { return V{} + x; }
inline V maximum(V a, V b) { return a > b ? a : b; }

// Element types of tensors, as kernels see them.
struct F32 {
  using type = float;
  static V load(const float* p) {
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
};

// Rounded to nearest even, in the upper half of each lane; NaN stays NaN.
inline VU rounded_bits(V v) {
  VU bits;
  std::memcpy(&bits, &v, sizeof v);
  const VU rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return v == v ? rounded : (bits | 0x400000u);
}

struct B16 {
  using type = uint16_t;
  static V load(const uint16_t* p) {
    VH half;
    std::memcpy(&half, p, sizeof half);
    const VU bits = __builtin_convertvector(half, VU) << 16;
    V v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  static void store(uint16_t* p, V v) {
    const VH half = __builtin_convertvector(rounded_bits(v) >> 16, VH);
    std::memcpy(p, &half, sizeof half);
  }
};

// The first `count` (at most 16) of 16 lanes; the others read as 0 and are not written.
template <class E>
inline V load(const typename E::type* p, int64_t count) {
  if (count >= lanes) return E::load(p);
  typename E::type some[lanes] = {};
  std::memcpy(some, p, static_cast<size_t>(count) * sizeof *p);
  return E::load(some);
}
template <class E>
inline void store(typename E::type* p, V v, int64_t count) {
  if (count >= lanes) return E::store(p, v);
  typename E::type some[lanes];
  E::store(some, v);
  std::memcpy(p, some, static_cast<size_t>(count) * sizeof *p);
}

// By halves: four additions one after another instead of fifteen.
inline float sum_of(V v) {
  const auto eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                     __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const auto four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
                    __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// 1 in the lanes before `count`, 0 from it on.
inline V first_lanes(int64_t count) {
  const VI index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const V one = splat(1), zero = {};
  return index < static_cast<int32_t>(count < lanes ? count : lanes) ? one : zero;
}

// e^x to 2 units in the last place: 2^n e^r with |r| <= ln(2)/2 and the Taylor polynomial of degree
// 7 for e^r. Below -87.3 it stays at e^-87.3 instead of going to 0, above 88.3 at e^88.3.
inline V exp(V x) {
  const V low = splat(-87.3f), high = splat(88.3f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const V round_up = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves an integer in the low bits
  const V shifted = x * 1.44269504f + round_up;
  const V n = shifted - round_up;
  const V r = x - n * 0.693359375f + n * 2.12194440e-4f;  // ln(2) in two parts (Cody and Waite)
  V p = splat(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  VI bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + 0x3f800000;
  V power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

inline V sigmoid(V x) { return 1.0f / (1.0f + exp(-x)); }

}  // namespace katman::KATMAN_ISA
