// The two 8-bit floats that matrix products may round their operands to (Micikevicius et al., 2022,
// "FP8 Formats for Deep Learning"): E4M3, precise enough for weights and activations, and E5M2,
// whose longer exponent gradients need. Every format is scaled per tensor, by a power of two.
//
// That the scale is a power of two makes it nearly invisible: a float keeps its fraction when its
// exponent moves, so two scales give the same rounded values, but for elements below some 2^-13
// (E4M3) or 2^-28 (E5M2) of the tensor's largest, which become subnormal. So tensor ranks scale their own
// shards without asking the others, micro-batches of any size are rounded alike, and a layout
// changes no more than it does in bf16. The scale follows from the tensor itself, in the product
// that uses it ("current scaling"): one more pass over each operand buys that nothing has to be
// remembered between steps, so that a run is resumed from the same integer as ever.
#pragma once

#include <bit>
#include <cstdint>

namespace katman {

enum class Fp8 : uint8_t { none, e4m3, e5m2 };  // none: not rounded

struct Fp8Format {
  int fraction;   // bits
  int bias;       // of the exponent: the least normal number is 2^(1 - bias)
  float largest;  // 1.75 * 2^8, 1.75 * 2^15
};
constexpr Fp8Format format_of(Fp8 fp8) {
  return fp8 == Fp8::e5m2 ? Fp8Format{2, 15, 57344} : Fp8Format{3, 7, 448};
}
constexpr uint8_t fp8_nan = 0x7f;  // in both formats

constexpr float power_of_two(int exponent) {  // -126 to 127
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

// The power of two by which a tensor whose largest absolute value is `amax` just fits; 1 for a
// tensor of zeros, and where amax is no number: infinity and NaN are to be seen behind the product.
constexpr float fp8_scale(float amax, Fp8 fp8) {
  const auto bits = std::bit_cast<uint32_t>(amax);
  if (!(amax > 0) || bits >= 0x7f800000) return 1;
  const auto largest = std::bit_cast<uint32_t>(format_of(fp8).largest);
  const bool fits = (bits & 0x7fffff) <= (largest & 0x7fffff);
  const int exponent = static_cast<int>(largest >> 23) - static_cast<int>(bits >> 23) - !fits;
  return power_of_two(exponent < -126 ? -126 : exponent > 126 ? 126 : exponent);
}

// The value of the format that is nearest to x, of two the even one. Beyond the largest it is the
// largest ("saturating"); infinity and NaN become NaN.
constexpr float fp8_rounded(float x, Fp8 fp8) {
  const Fp8Format format = format_of(fp8);
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits & 0x80000000;
  if ((bits & 0x7fffffff) >= 0x7f800000) return std::bit_cast<float>(0x7fc00000 | sign);
  float size = std::bit_cast<float>(bits & 0x7fffffff);
  size = size < format.largest ? size : format.largest;
  // Adding a power of two whose last bit is the one that shall remain rounds there.
  const uint32_t least = static_cast<uint32_t>(128 - format.bias);
  const uint32_t exponent = std::bit_cast<uint32_t>(size) >> 23;
  const float anchor = std::bit_cast<float>(
      ((exponent > least ? exponent : least) + static_cast<uint32_t>(23 - format.fraction)) << 23);
  return std::bit_cast<float>(std::bit_cast<uint32_t>((size + anchor) - anchor) | sign);
}

// The code of fp8_rounded(x): sign, exponent, fraction.
constexpr uint8_t fp8_code(float x, Fp8 fp8) {
  const Fp8Format format = format_of(fp8);
  const auto bits = std::bit_cast<uint32_t>(fp8_rounded(x, fp8));
  const uint32_t sign = bits >> 24 & 0x80, size = bits & 0x7fffffff;
  if (size > 0x7f800000) return static_cast<uint8_t>(sign | fp8_nan);
  const auto least = static_cast<uint32_t>(128 - format.bias);
  const uint32_t code =
      size >> 23 >= least ? (size >> (23 - format.fraction)) - ((least - 1) << format.fraction)
                          : static_cast<uint32_t>(std::bit_cast<float>(size) *
                                                  power_of_two(format.bias - 1 + format.fraction));
  return static_cast<uint8_t>(sign | code);
}

constexpr float fp8_value(uint8_t code, Fp8 fp8) {
  const Fp8Format format = format_of(fp8);
  const uint32_t sign = (code & 0x80u) << 24, size = code & 0x7fu;
  const uint32_t exponent = size >> format.fraction;
  if (size == fp8_nan || (fp8 == Fp8::e5m2 && size > 0x7c))
    return std::bit_cast<float>(0x7fc00000 | sign);
  if (fp8 == Fp8::e5m2 && size == 0x7c) return std::bit_cast<float>(0x7f800000 | sign);
  const float value =
      exponent ? std::bit_cast<float>((size << (23 - format.fraction)) +
                                      (static_cast<uint32_t>(127 - format.bias) << 23))
               : static_cast<float>(size) * power_of_two(1 - format.bias - format.fraction);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

}  // namespace katman
