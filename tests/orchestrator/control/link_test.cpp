#include "orchestrator/control/link.h"

#include <gtest/gtest.h>

namespace katman::testing {
namespace {

TEST(RecentSteps, ninety_nine_of_a_hundred_took_at_most_its_p99) {
  RecentSteps steps;
  EXPECT_EQ(steps.p99(), 0);
  for (int i = 0; i < 197; ++i) steps.add(1);
  for (int i = 0; i < 3; ++i) steps.add(9);  // 1.5 %
  EXPECT_EQ(steps.p99(), 9);
  for (int i = 0; i < 198; ++i) steps.add(1);
  EXPECT_EQ(steps.p99(), 1) << "two slow ones of two hundred are one per cent";
  for (int i = 0; i < 200; ++i) steps.add(2);
  EXPECT_EQ(steps.p99(), 2) << "what lies further back is forgotten";
}

}  // namespace
}  // namespace katman::testing
