// Warp-level matrix instructions, element by element from the tables of the PTX manual.
#pragma once

#include <cstdint>
#include <cstring>

#include "tests/emulated_cuda/fibers.h"

namespace emulated {

inline float upper_half(uint32_t word, int which) {
  const uint32_t bits = which ? word & 0xffff0000u : word << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// mma.m16n8k16 for bf16: every lane shows its operands and computes its four sums.
inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Operands {
    uint32_t a[4], b[2];
  };
  const Operands mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const auto* all = static_cast<const Operands*>(together("mma", ~0u, &mine, sizeof mine));
  for (int e = 0; e < 4; ++e) {
    const unsigned row = lane() / 4 + (e / 2) * 8, column = lane() % 4 * 2 + e % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const Operands& left = all[row % 8 * 4 + k % 8 / 2];
      const Operands& right = all[column * 4 + k % 8 / 2];
      c[e] += upper_half(left.a[row / 8 + k / 8 * 2], k % 2) * upper_half(right.b[k / 8], k % 2);
    }
  }
}

// ldmatrix.x4, transposed or not.
inline void load_matrices(uint32_t (&to)[4], const void* row, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) __builtin_trap();
  using Row = const uint16_t*;
  const Row mine = static_cast<Row>(row);
  const Row* rows = static_cast<const Row*>(together("ldmatrix", ~0u, &mine, sizeof mine));
  const unsigned r = lane() / 4, pair = lane() % 4 * 2;
  for (unsigned i = 0; i < 4; ++i) {
    const Row* matrix = rows + 8 * i;
    const uint32_t low = transposed ? matrix[pair][r] : matrix[r][pair];
    const uint32_t high = transposed ? matrix[pair + 1][r] : matrix[r][pair + 1];
    to[i] = high << 16 | low;
  }
}

// cp.async of 16 bytes; zeros when `from` is null.
inline void copy_16_later(void* to, const void* from) {
  alignas(16) static const unsigned char zeros[16] = {};
  if (reinterpret_cast<uintptr_t>(to) % 16 || reinterpret_cast<uintptr_t>(from) % 16)
    __builtin_trap();
  copy_later(to, from ? from : zeros, 16);
}

}  // namespace emulated
