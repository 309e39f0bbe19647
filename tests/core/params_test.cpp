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
