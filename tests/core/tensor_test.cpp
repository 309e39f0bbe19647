#include "core/tensor.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/pool.h"

namespace katman {
namespace {

Tensor counting(Shape shape) {
  static Pool pool([](int64_t bytes) { return new std::byte[static_cast<size_t>(bytes)]; },
                   [](std::byte* block) { delete[] block; });
  const Tensor t(pool.take(shape.elements() * 4), 0, shape, DType::f32);
  for (int64_t i = 0; i < t.elements(); ++i) t.data<float>()[i] = static_cast<float>(i);
  return t;
}

TEST(Tensor, a_slice_shares_rows_with_its_tensor) {
  const Tensor t = counting({5, 3});
  const Tensor rows = t.slice(1, 2);
  EXPECT_EQ(rows.shape(), Shape({2, 3}));
  EXPECT_EQ(rows.data<float>()[0], 3);
  rows.data<float>()[0] = 100;
  EXPECT_EQ(t.data<float>()[3], 100);
  EXPECT_EQ(t.slice(5, 0).elements(), 0);
  EXPECT_THROW((void)t.slice(4, 2), Error);
  EXPECT_THROW((void)t.slice(-1, 2), Error);
}

TEST(Tensor, a_view_has_the_same_elements_in_another_shape) {
  const Tensor t = counting({2, 3, 4});
  EXPECT_EQ(t.view({6, 4}).slice(5, 1).data<float>()[3], 23);
  EXPECT_EQ(t.flat().shape(), Shape({24}));
  EXPECT_THROW((void)t.view({5, 5}), Error);
}

TEST(Tensor, a_read_as_another_type_is_refused) {
  EXPECT_THROW((void)counting({2}).data<bf16>(), Error);
  EXPECT_THROW((void)counting({2}).data<int32_t>(), Error);
}

TEST(Tensor, a_window_outside_its_buffer_is_refused) {
  const Tensor t = counting({64});  // exactly a block of the pool
  const auto buffer = std::make_shared<Buffer>(Buffer{t.raw(), t.bytes()});
  EXPECT_NO_THROW(Tensor(buffer, 128, {32}, DType::f32));
  EXPECT_THROW(Tensor(buffer, 132, {32}, DType::f32), Error);
  EXPECT_THROW(Tensor(buffer, -4, {1}, DType::f32), Error);
}

TEST(Tensor, no_tensor_is_empty_and_a_scalar_has_one_element) {
  EXPECT_FALSE(Tensor());
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(to_string(Shape({8, 1024, 768})), "[8, 1024, 768]");
  EXPECT_THROW(Shape({1, 1, 1, 1, 1}), Error);
}

TEST(Bf16, rounds_to_the_nearest_even) {
  const auto rounded = [](float value) { return static_cast<float>(bf16(value)); };
  EXPECT_EQ(rounded(1.0f), 1.0f);
  EXPECT_EQ(rounded(1.0f + 0x1p-8f), 1.0f);                       // half way, to even
  EXPECT_EQ(rounded(1.0f + 3 * 0x1p-8f), 1.0f + 2 * 0x1p-7f);     // half way, to even
  EXPECT_EQ(rounded(1.0f + 0x1p-8f + 0x1p-20f), 1.0f + 0x1p-7f);  // just above
  EXPECT_EQ(rounded(-1.0f - 0x1p-8f), -1.0f);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), INFINITY);
  EXPECT_EQ(rounded(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(rounded(NAN)));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7f800001u))));
}

TEST(Bf16, keeps_every_value_it_can_hold) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    bf16 value;
    value.bits = static_cast<uint16_t>(bits);
    const auto wide = static_cast<float>(value);
    if (std::isnan(wide)) continue;
    ASSERT_EQ(bf16(wide).bits, value.bits);
  }
}

}  // namespace
}  // namespace katman
