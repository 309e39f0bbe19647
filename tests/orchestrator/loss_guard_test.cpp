#include "orchestrator/loss_guard.h"

#include <gtest/gtest.h>

namespace katman::testing {
namespace {

TEST(LossGuard, a_falling_loss_is_fine_and_one_far_above_the_recent_mean_a_spike) {
  LossGuard guard(1.5);
  for (int step = 0; step < 200; ++step) EXPECT_FALSE(guard.is_spike(8.0 / (1 + 0.05 * step)));
  const double mean = guard.mean();
  EXPECT_FALSE(guard.is_spike(1.4 * mean));
  EXPECT_TRUE(guard.is_spike(1.7 * mean));
  EXPECT_TRUE(guard.is_spike(1.7 * mean)) << "a spike does not raise the mean";
}

TEST(LossGuard, the_first_steps_are_never_spikes_and_without_a_factor_nothing_is) {
  LossGuard young(1.1), off(0);
  for (int step = 0; step < 20; ++step) EXPECT_FALSE(young.is_spike(1.0 + step));
  for (int step = 0; step < 100; ++step) EXPECT_FALSE(off.is_spike(step % 2 ? 1e9 : 1));
}

TEST(LossGuard, its_numbers_are_all_that_it_knows) {
  LossGuard whole(2);
  for (int step = 0; step < 30; ++step) whole.is_spike(1 + 0.01 * step);
  LossGuard resumed(2, whole.mean(), whole.seen());
  for (int step = 0; step < 30; ++step) {
    const double loss = step == 17 ? 9 : 1.2;
    EXPECT_EQ(whole.is_spike(loss), resumed.is_spike(loss));
    EXPECT_EQ(whole.mean(), resumed.mean());
  }
}

}  // namespace
}  // namespace katman::testing
