// Samples that a run leaves out, against the list that one would write down.
#include "data_pipeline/corpus/skipped.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace katman::testing {
namespace {

TEST(Skipped, leaves_out_what_it_was_told_to_and_nothing_else) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    Skipped skipped;
    std::set<uint64_t> out;
    for (int ranges = static_cast<int>(random() % 6); ranges > 0; --ranges) {
      const uint64_t first = random() % 60, count = random() % 12;
      skipped.add(first, count);
      for (uint64_t i = first; i < first + count; ++i) out.insert(i);
    }
    uint64_t sample = 0;
    for (uint64_t n = 0; n < 100; ++n, ++sample) {
      while (out.contains(sample)) ++sample;
      ASSERT_EQ(skipped.nth(n), sample) << "round " << round << ", n " << n;
    }
  }
}

TEST(Skipped, the_order_in_which_ranges_come_does_not_matter) {
  Skipped a, b;
  a.add(10, 5);
  a.add(30, 1);
  a.add(15, 2);
  b.add(15, 2);
  b.add(30, 1);
  b.add(10, 5);
  EXPECT_EQ(a.ranges(), b.ranges());
  EXPECT_EQ(a.ranges(), (std::vector<Skipped::Range>{{10, 17}, {30, 31}}));
}

TEST(Skipped, what_lies_ahead_changes_nothing_before_it) {
  Skipped none, ahead;
  ahead.add(40, 8);
  for (uint64_t n = 0; n < 40; ++n) EXPECT_EQ(none.nth(n), ahead.nth(n));
  EXPECT_EQ(ahead.nth(40), 48u);
}

}  // namespace
}  // namespace katman::testing
