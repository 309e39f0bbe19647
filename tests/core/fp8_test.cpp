#include "core/fp8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/random.h"

namespace katman {
namespace {

class Fp8Test : public ::testing::TestWithParam<Fp8> {
 protected:
  // Table 1 of the paper, by arithmetic: the value of every code that is a number.
  static std::map<int, double> table() {
    const bool e4m3 = GetParam() == Fp8::e4m3;
    const int fraction = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15, numbers = e4m3 ? 0x7f : 0x7c;
    std::map<int, double> values;
    for (int code = 0; code < numbers; ++code) {
      const int exponent = code >> fraction, rest = code & ((1 << fraction) - 1);
      const double significand = (exponent ? 1 : 0) + std::ldexp(rest, -fraction);
      values[code] = std::ldexp(significand, std::max(exponent, 1) - bias);
      values[code | 0x80] = -values[code];
    }
    return values;
  }
  float largest() const { return format_of(GetParam()).largest; }
};

TEST_P(Fp8Test, every_code_has_the_value_of_the_paper_and_comes_back) {
  const auto values = table();
  for (int code = 0; code < 256; ++code) {
    const float value = fp8_value(static_cast<uint8_t>(code), GetParam());
    const auto expected = values.find(code);
    if (expected == values.end()) {
      EXPECT_FALSE(std::isfinite(value)) << code;
      EXPECT_EQ(fp8_code(value, GetParam()) & 0x7f, fp8_nan) << code;
    } else {
      EXPECT_EQ(value, expected->second) << code;
      EXPECT_EQ(fp8_code(value, GetParam()), code);
      EXPECT_EQ(fp8_rounded(value, GetParam()), value);
    }
  }
}

TEST_P(Fp8Test, numbers_go_to_the_nearest_value_and_from_the_middle_to_the_even_code) {
  std::map<double, int> codes;  // of values from 0 on
  for (const auto& [code, value] : table())
    if (code < 0x80) codes[value] = code;
  const auto expect = [&](float x) {
    auto above = codes.lower_bound(x);
    if (above == codes.end()) above = std::prev(codes.end());
    const auto below = above == codes.begin() ? above : std::prev(above);
    const double up = above->first - x, down = x - below->first;
    const auto& nearest = up < down || (up == down && above->second % 2 == 0) ? *above : *below;
    const auto& expected = x > above->first ? *above : nearest;
    EXPECT_EQ(fp8_rounded(x, GetParam()), expected.first) << x;
    EXPECT_EQ(fp8_code(x, GetParam()), expected.second) << x;
    EXPECT_EQ(fp8_code(-x, GetParam()), expected.second | 0x80) << x;
  };
  for (auto at = codes.begin(); std::next(at) != codes.end(); ++at) {
    const auto middle = static_cast<float>((at->first + std::next(at)->first) / 2);
    for (const float x : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY)})
      expect(x);
  }
  for (uint64_t i = 0; i < 20000; ++i)
    expect(
        std::ldexp(random_uniform(Key(1), i), static_cast<int>(random_bits(Key(2), i) % 40) - 22));
}

TEST_P(Fp8Test, what_is_too_large_becomes_the_largest_and_what_is_no_number_stays_none) {
  for (const float x : {largest(), std::nextafter(largest(), INFINITY), 1e30f, 3.4e38f}) {
    EXPECT_EQ(fp8_rounded(x, GetParam()), largest());
    EXPECT_EQ(fp8_rounded(-x, GetParam()), -largest());
  }
  for (const float x : {INFINITY, -INFINITY, NAN}) {
    EXPECT_TRUE(std::isnan(fp8_rounded(x, GetParam())));
    EXPECT_EQ(fp8_code(x, GetParam()) & 0x7f, fp8_nan);
  }
}

TEST_P(Fp8Test, the_scale_is_the_greatest_power_of_two_under_which_a_tensor_fits) {
  for (uint64_t i = 0; i < 1000; ++i) {
    const float amax = std::ldexp(1 + random_uniform(Key(3), i), static_cast<int>(i % 200) - 100);
    const float scale = fp8_scale(amax, GetParam());
    int exponent = 0;
    EXPECT_EQ(std::frexp(scale, &exponent), 0.5f);
    EXPECT_LE(amax * scale, largest());
    EXPECT_GT(2 * amax * scale, largest());
  }
  for (const float amax : {0.0f, INFINITY, NAN}) EXPECT_EQ(fp8_scale(amax, GetParam()), 1);
  for (const float amax : {1e-45f, 1e-38f, 3e38f}) {
    const float scale = fp8_scale(amax, GetParam());
    EXPECT_TRUE(std::isnormal(scale) && std::isnormal(1 / scale)) << amax;
    EXPECT_LE(amax * scale, largest());
  }
}

// What lets every rank scale its own shard.
TEST_P(Fp8Test, another_scale_changes_only_what_is_far_smaller_than_the_largest) {
  const float amax = 3.7f, scale = fp8_scale(amax, GetParam());
  const int depth = GetParam() == Fp8::e4m3 ? 12 : 27;
  for (uint64_t i = 0; i < 5000; ++i) {
    const auto down = static_cast<int>(i % static_cast<uint64_t>(depth));
    const float x = std::ldexp(amax / 2 * (1 + random_uniform(Key(4), i)), -down);
    EXPECT_EQ(fp8_rounded(x * scale, GetParam()) / scale,
              fp8_rounded(x * scale / 2, GetParam()) / scale * 2)
        << x;
  }
}

INSTANTIATE_TEST_SUITE_P(all, Fp8Test, ::testing::Values(Fp8::e4m3, Fp8::e5m2),
                         [](const auto& info) {
                           return info.param == Fp8::e4m3 ? "e4m3" : "e5m2";
                         });

}  // namespace
}  // namespace katman
