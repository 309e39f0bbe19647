// What becomes of runs, decided without a clock or a process: starts, ends, errors.
#include "tests/support/fleet.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/throws.h"

namespace katman::testing {
namespace {

TEST(Fleet, a_run_goes_from_the_queue_to_its_end) {
  Fleet fleet({});
  fleet.submit(new_run("a"), 0);
  EXPECT_EQ(state(fleet), RunView::QUEUED);
  const Effects launched = fleet.passed(0);
  ASSERT_EQ(launched.launches.size(), 1u);
  EXPECT_EQ(launched.launches[0].generation, 1u);
  fleet.reported(report("a", 1, 0, SETTING_UP), 1);
  EXPECT_EQ(state(fleet), RunView::STARTING);
  fleet.reported(report("a", 1, 1), 2);
  EXPECT_EQ(state(fleet), RunView::RUNNING);
  fleet.committed("a", 1000, 3);
  fleet.ended("a", 1, clean, 4);
  EXPECT_EQ(state(fleet), RunView::COMPLETED);
  EXPECT_TRUE(fleet.passed(5).launches.empty());
}

TEST(Fleet, after_a_crash_it_starts_again_at_once_and_later_ever_later_until_it_holds) {
  Fleet fleet = running_fleet();
  fleet.committed("a", 10, 3);
  double now = 10;
  uint64_t generation = 1;
  for (const double pause : {0.0, 10.0, 30.0}) {
    fleet.ended("a", generation, crash, now);
    EXPECT_EQ(state(fleet), RunView::RECOVERING);
    if (pause > 0) {
      EXPECT_TRUE(fleet.passed(now + pause - 0.1).launches.empty());
    }
    now += pause;
    ASSERT_EQ(fleet.passed(now).launches.size(), 1u) << pause;
    ++generation;
  }
  fleet.ended("a", generation, crash, now);
  EXPECT_EQ(state(fleet), RunView::ATTENTION);
  EXPECT_NE(fleet.run("a").why().find("3 restarts without a newer checkpoint"), std::string::npos)
      << fleet.run("a").why();
  EXPECT_TRUE(fleet.passed(now + 1e6).launches.empty());
  fleet.command(command("a", RESUME_RUN), now);
  EXPECT_EQ(fleet.passed(now).launches.size(), 1u);
}

TEST(Fleet, a_run_that_breaks_more_often_than_it_saves_waits_ever_longer_and_is_not_held) {
  Fleet fleet = running_fleet();
  double now = 10;
  uint64_t generation = 1;
  std::vector<double> waited;
  for (uint64_t round = 1; round <= 5; ++round) {
    for (int error = 0; error < 2; ++error) {
      fleet.ended("a", generation++, crash, now);
      ASSERT_EQ(state(fleet), RunView::RECOVERING);
      waited.push_back(fleet.run("a").retry_at() - now);
      now += waited.back();
      ASSERT_EQ(fleet.passed(now).launches.size(), 1u);
    }
    fleet.committed("a", 10 * round, now);
  }
  EXPECT_EQ(waited, (std::vector<double>{0, 10, 10, 30, 30, 120, 30, 120, 30, 120}));
  for (uint64_t step = 60; step <= 80; step += 10) fleet.committed("a", step, now);
  fleet.ended("a", generation, crash, now);
  EXPECT_EQ(fleet.run("a").retry_at(), now) << "three checkpoints without an error: all is well";
}

TEST(Fleet, what_a_restart_cannot_help_is_held_at_once) {
  Fleet fleet = running_fleet();
  fleet.committed("a", 10, 3);
  fleet.ended("a", 1, {.hopeless = true, .how = "the loss is not a number"}, 4);
  EXPECT_EQ(state(fleet), RunView::ATTENTION);
  EXPECT_EQ(fleet.run("a").why(), "the loss is not a number");
  EXPECT_TRUE(fleet.passed(1e6).launches.empty());
}

TEST(Fleet, a_newer_checkpoint_refills_the_patience) {
  Fleet fleet = running_fleet();
  for (uint64_t generation = 1; generation < 20; ++generation) {
    const double now = 100.0 * static_cast<double>(generation);
    fleet.committed("a", 10 * generation, now);
    fleet.ended("a", generation, crash, now);
    ASSERT_EQ(fleet.passed(now).launches.size(), 1u) << generation;
  }
}

TEST(Fleet, an_error_before_the_first_step_ever_is_not_tried_again) {
  Fleet fleet({});
  fleet.submit(new_run("a"), 0);
  fleet.passed(0);
  fleet.ended("a", 1, error, 1);
  EXPECT_EQ(state(fleet), RunView::FAILED);
  EXPECT_EQ(fleet.run("a").why(), "before its first step: broken");
  EXPECT_TRUE(fleet.passed(1e6).launches.empty());
}

TEST(Fleet, a_job_that_somebody_cancelled_elsewhere_is_held) {
  Fleet fleet = running_fleet();
  fleet.ended("a", 1, {.signalled = true, .withdrawn = true, .how = "SLURM job 17 was cancelled"},
              3);
  EXPECT_EQ(state(fleet), RunView::ATTENTION);
  EXPECT_TRUE(fleet.passed(1e6).launches.empty());
}

TEST(Fleet, a_worker_that_went_back_by_itself_is_started_again_and_that_is_no_error) {
  Fleet fleet = running_fleet();
  fleet.committed("a", 10, 2);
  fleet.rolled_back("a", 4, "after step 12, the loss was not a finite number", 3);
  fleet.ended("a", 1, {.rolled_back = true, .how = "back to step 4"}, 3);
  EXPECT_EQ(fleet.passed(3).launches.size(), 1u);
  EXPECT_EQ(fleet.run("a").restarts(), 0u);
  EXPECT_EQ(fleet.run("a").step(), 4u);
}

TEST(Fleet, a_generation_is_above_all_that_the_checkpoints_know) {
  Fleet fleet = running_fleet();
  fleet.logged("a", 5);  // SLURM started its job again, several times
  fleet.ended("a", 1, crash, 3);
  EXPECT_EQ(fleet.passed(3).launches[0].generation, 6u);
}

TEST(Fleet, higher_priority_goes_first_and_slots_are_never_exceeded) {
  FleetPolicy policy;
  policy.slots = 4;
  Fleet fleet(policy);
  fleet.submit(new_run("low", 2), 0);
  fleet.submit(new_run("big", 3, 1), 0);
  fleet.submit(new_run("high", 2, 2), 0);
  const Effects first = fleet.passed(0);
  ASSERT_EQ(first.launches.size(), 1u) << "big does not fit beside high, and low waits behind big";
  EXPECT_EQ(first.launches[0].run, "high");
  EXPECT_TRUE(fails_with("--slots=5", [&] { fleet.submit(new_run("huge", 5), 0); }));
}

}  // namespace
}  // namespace katman::testing
