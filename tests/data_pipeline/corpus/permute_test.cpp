#include "data_pipeline/corpus/permute.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/throws.h"

namespace katman {
namespace {

using testing::fails_with;

std::vector<uint64_t> order(uint64_t n, Key key) {
  std::vector<uint64_t> order(n);
  for (uint64_t i = 0; i < n; ++i) order[i] = permute(i, n, key);
  return order;
}

TEST(Permute, is_a_bijection_for_every_small_size_and_some_odd_ones) {
  std::vector<uint64_t> sizes;
  for (uint64_t n = 1; n <= 300; ++n) sizes.push_back(n);
  for (uint64_t n : {1023, 1024, 1025, 4095, 4097, 65537, 100003}) sizes.push_back(n);
  for (const uint64_t n : sizes) {
    std::vector<bool> seen(n);
    for (const uint64_t to : order(n, Key(n))) {
      ASSERT_LT(to, n);
      ASSERT_FALSE(seen[to]) << to << " twice, n = " << n;
      seen[to] = true;
    }
  }
}

TEST(Permute, works_near_the_top_of_64_bits) {
  for (const uint64_t n : {UINT64_MAX, (uint64_t{1} << 63) + 1, (uint64_t{1} << 32) - 1})
    for (const uint64_t i : {uint64_t{0}, uint64_t{1}, n / 2, n - 1})
      EXPECT_LT(permute(i, n, Key(1)), n);
  EXPECT_NE(permute(0, UINT64_MAX, Key(1)), permute(1, UINT64_MAX, Key(1)));
}

TEST(Permute, depends_on_the_key) {
  EXPECT_EQ(order(1000, Key(7)), order(1000, Key(7)));
  const auto a = order(1000, Key(7)), b = order(1000, Key(8));
  int equal = 0;
  for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
  EXPECT_LT(equal, 10) << "two random orders of 1000 agree in about one place";
}

// Fixed points, neighbours that stay neighbours, and the correlation of place and value are what a
// weak mixing would show. The bounds are five standard deviations and more of a random permutation.
TEST(Permute, has_no_obvious_structure) {
  for (const uint64_t n : {1000ul, 1024ul, 10007ul, 65536ul}) {
    const auto to = order(n, Key(n + 1));
    const auto size = static_cast<double>(n);
    double fixed = 0, neighbours = 0, product = 0;
    for (uint64_t i = 0; i < n; ++i) {
      fixed += to[i] == i;
      neighbours += i > 0 && to[i] == to[i - 1] + 1;
      product += (static_cast<double>(i) / size - 0.5) * (static_cast<double>(to[i]) / size - 0.5);
    }
    EXPECT_LE(fixed, 8) << n;                                            // Poisson with mean 1
    EXPECT_LE(neighbours, 8) << n;                                       // the same
    EXPECT_LT(std::abs(product / size * 12), 5 / std::sqrt(size)) << n;  // correlation
  }
}

TEST(Permute, refuses_what_is_outside) {
  EXPECT_TRUE(fails_with("outside", [] { permute(5, 5, Key(1)); }));
}

}  // namespace
}  // namespace katman
