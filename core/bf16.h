// The 16-bit float that training uses.
#pragma once

#include <bit>
#include <cstdint>

namespace katman {

// The upper half of a float: same exponent, 8 bits of precision. Rounds to nearest even, keeps NaN.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  explicit constexpr bf16(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    const bool is_nan = (word & 0x7fffffff) > 0x7f800000;
    const uint32_t rounded = is_nan ? word | 0x400000 : word + 0x7fff + ((word >> 16) & 1);
    bits = static_cast<uint16_t>(rounded >> 16);
  }
  explicit constexpr operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

}  // namespace katman
