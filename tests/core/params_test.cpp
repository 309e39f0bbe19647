#include "core/params.h"

#include <gtest/gtest.h>

#include <cmath>

namespace katman {
namespace {

Param matrix(const std::string& name, Shape global) {
  Param param;
  param.name = name;
  param.global = global;
  param.mine = Box::whole(global);
  return param;
}

TEST(Params, first_values_depend_on_the_global_element_alone) {
  Param whole = matrix("h.0.mlp.up.weight", {12, 10});
  const auto all = initial_values(whole, Key(5));
  for (const int axis : {0, 1}) {
    for (int part = 0; part < 2; ++part) {
      Param mine = whole;
      mine.mine = cut(whole.mine, axis, part, 2);
      const auto values = initial_values(mine, Key(5));
      std::vector<float> expected(values.size());
      copy_box(mine.mine, whole.mine, reinterpret_cast<const std::byte*>(all.data()), mine.mine,
               reinterpret_cast<std::byte*>(expected.data()), sizeof(float));
      EXPECT_EQ(values, expected) << to_string(mine.mine);
    }
  }
}

TEST(Params, a_range_of_first_values_is_a_slice_of_them_all) {
  Param param = matrix("w", {7, 9});
  param.mine = Box{{2, 3}, {4, 5}};
  const auto all = initial_values(param, Key(1));
  for (int64_t begin = 0; begin < 20; begin += 3) {
    const auto some = initial_values(param, Key(1), begin, 20);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + begin)) << begin;
  }
}

TEST(Params, first_values_have_the_deviation_that_was_asked_for_on_every_core) {
  Param param = matrix("wte.weight", {1000, 1000});
  param.init.deviation = 0.02f;
  const auto values = initial_values(param, Key(1));
  double sum = 0, squares = 0;
  for (const float value : values) sum += value, squares += static_cast<double>(value) * value;
  EXPECT_NEAR(sum / 1e6, 0, 1e-4);
  EXPECT_NEAR(std::sqrt(squares / 1e6), 0.02, 1e-4);
  EXPECT_EQ(values, initial_values(param, Key(1)));
  EXPECT_NE(values, initial_values(param, Key(2)));
  EXPECT_NE(values, initial_values(matrix("other", {1000, 1000}), Key(1)));
}

TEST(Params, buckets_hold_every_parameter_once_apart_by_decay_and_padded_with_zeros) {
  const auto backend = make_backend("reference");
  Params params;
  for (int i = 0; i < 6; ++i) {
    Param param = matrix(fmt::format("w{}", i), {7, 5 + i});
    param.decay = i % 3 != 2;
    if (i == 1) param.spare_rows = 3;
    params.declare(std::move(param));
  }
  params.allocate(*backend, DType::bf16, 100, 96);
  params.initialise(*backend, Key(1));
  size_t held = 0;
  for (const Bucket& bucket : params.buckets()) {
    EXPECT_EQ(bucket.value.elements() % 96, 0);
    EXPECT_EQ(bucket.grad.shape(), bucket.value.shape());
    EXPECT_EQ(bucket.grad.dtype(), DType::f32);
    std::vector<bool> covered(static_cast<size_t>(bucket.value.elements()));
    for (size_t i = 0; i < bucket.params.size(); ++i, ++held) {
      const Param& param = *bucket.params[i];
      EXPECT_EQ(param.decay, bucket.decay);
      EXPECT_EQ(bucket.offsets[i] % 32, 0);
      EXPECT_EQ(param.value.data<bf16>(), bucket.value.data<bf16>() + bucket.offsets[i]);
      EXPECT_EQ(param.grad.data<float>(), bucket.grad.data<float>() + bucket.offsets[i]);
      EXPECT_EQ(param.value.shape(), param.mine.shape());
      EXPECT_EQ(param.padded_value.extent(0), param.mine.extent[0] + param.spare_rows);
      for (int64_t e = 0; e < param.padded_value.elements(); ++e) {
        const auto at = static_cast<size_t>(bucket.offsets[i] + e);
        ASSERT_FALSE(covered[at]) << param.name << " overlaps another";
        covered[at] = e < param.mine.elements();
      }
    }
    for (size_t at = 0; at < covered.size(); ++at)
      ASSERT_EQ(covered[at], bucket.value.data<bf16>()[at].bits != 0) << at;
  }
  EXPECT_EQ(held, 6u);
  EXPECT_GT(params.buckets().size(), 2u);
}

TEST(Params, values_are_the_first_values_rounded_to_their_type) {
  const auto backend = make_backend("reference");
  for (const DType type : {DType::f32, DType::bf16}) {
    Params params;
    const Param& param = params.declare(matrix("w", {30, 40}));
    params.allocate(*backend, type, 1 << 20, 64);
    params.initialise(*backend, Key(9));
    const auto expected = initial_values(param, Key(9));
    for (size_t i = 0; i < expected.size(); ++i) {
      if (type == DType::f32)
        ASSERT_EQ(param.value.data<float>()[i], expected[i]);
      else
        ASSERT_EQ(param.value.data<bf16>()[i].bits, bf16(expected[i]).bits);
    }
    param.grad.data<float>()[3] = 1;
    params.zero_grads(*backend);
    EXPECT_EQ(param.grad.data<float>()[3], 0);
    EXPECT_EQ(params.elements(), 1200);
    EXPECT_THROW(params.declare(matrix("late", {2, 2})), Error);
  }
}

TEST(Params, a_name_declared_twice_and_a_box_outside_are_refused) {
  Params params;
  params.declare(matrix("w", {2, 2}));
  EXPECT_THROW(params.declare(matrix("w", {2, 2})), Error);
  Param outside = matrix("v", {2, 2});
  outside.mine.begin[0] = 1;
  EXPECT_THROW(params.declare(outside), Error);
  EXPECT_EQ(params.find("v"), nullptr);
  EXPECT_THROW(params.at("v"), Error);
}

}  // namespace
}  // namespace katman
