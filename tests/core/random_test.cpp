#include "core/random.h"

#include <gtest/gtest.h>

#include <set>

namespace katman {
namespace {

constexpr int draws = 200000;

TEST(Random, uniform_values_fill_the_unit_interval_evenly) {
  const Key key = Key(1).at("uniform");
  int bins[16] = {};
  for (uint64_t i = 0; i < draws; ++i) {
    const float u = random_uniform(key, i);
    ASSERT_TRUE(u >= 0 && u < 1);
    ++bins[static_cast<int>(u * 16)];
  }
  for (const int count : bins) EXPECT_NEAR(count, draws / 16, 500);  // 4.6 deviations
}

TEST(Random, normal_values_have_the_moments_of_the_normal_distribution) {
  const Key key = Key(1).at("normal");
  double moments[5] = {};
  for (uint64_t i = 0; i < draws; ++i) {
    double power = 1;
    for (int k = 1; k <= 4; ++k) moments[k] += (power *= random_normal(key, i)) / draws;
  }
  EXPECT_NEAR(moments[1], 0, 0.01);
  EXPECT_NEAR(moments[2], 1, 0.015);
  EXPECT_NEAR(moments[3], 0, 0.04);
  EXPECT_NEAR(moments[4], 3, 0.1);
}

TEST(Random, neighbours_streams_and_seeds_are_unrelated) {
  const auto correlation = [](auto a, auto b) {
    double sum = 0;
    for (uint64_t i = 0; i < draws; ++i) sum += static_cast<double>(a(i)) * b(i);
    return sum / draws;
  };
  const auto stream = [](Key key) { return [key](uint64_t i) { return random_normal(key, i); }; };
  const Key key = Key(1).at("h.0.mlp.up.weight");
  const auto next = [key](uint64_t i) { return random_normal(key, i + 1); };
  EXPECT_NEAR(correlation(stream(key), next), 0, 0.01);
  EXPECT_NEAR(correlation(stream(key), stream(Key(1).at("h.1.mlp.up.weight"))), 0, 0.01);
  EXPECT_NEAR(correlation(stream(key), stream(Key(2).at("h.0.mlp.up.weight"))), 0, 0.01);
  EXPECT_NEAR(correlation(stream(Key(1).at(uint64_t{0})), stream(Key(1).at(uint64_t{1}))), 0, 0.01);
}

TEST(Random, names_numbers_and_their_order_all_name_different_streams) {
  std::set<uint64_t> keys;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    keys.insert(Key(seed).value);
    keys.insert(Key(seed).at("a").value);
    keys.insert(Key(seed).at("b").value);
    keys.insert(Key(seed).at("ab").value);
    keys.insert(Key(seed).at("a").at("b").value);
    keys.insert(Key(seed).at("b").at("a").value);
    keys.insert(Key(seed).at(uint64_t{0}).value);
    keys.insert(Key(seed).at(uint64_t{1}).value);
  }
  EXPECT_EQ(keys.size(), 32u);
}

TEST(Random, values_are_golden) {
  // Checkpoints, dropout masks and sample orders of existing runs depend on these.
  const Key key = Key(42).at("wte.weight");
  EXPECT_EQ(random_bits(key, 0), 0x7aa1cb27659d7322ull);
  EXPECT_EQ(random_bits(key, 1), 0x65bc9bf68e77f02aull);
  EXPECT_EQ(random_uniform(key, 7), 0.641649544f);
  EXPECT_FLOAT_EQ(random_normal(key, 7), 0.649531484f);
}

}  // namespace
}  // namespace katman
