// What silence and standing still mean to Fleet.
#include <gtest/gtest.h>

#include "tests/support/fleet.h"

namespace katman::testing {
namespace {

TEST(Fleet, a_step_that_hangs_and_a_worker_that_falls_silent_are_killed_and_started_again) {
  Fleet hung = running_fleet();
  for (int now = 3; now < 62; ++now) {
    hung.reported(report("a", 1, 10), now);  // rank 0 lives, but nothing moves
    ASSERT_TRUE(hung.passed(now).kills.empty()) << now;
  }
  hung.reported(report("a", 1, 10), 63);
  EXPECT_EQ(hung.passed(63).kills.size(), 1u);
  EXPECT_EQ(state(hung), RunView::RECOVERING);
  EXPECT_TRUE(hung.passed(64).launches.empty()) << "before the old processes are gone";
  hung.ended("a", 1, crash, 65);
  EXPECT_EQ(hung.passed(65).launches.size(), 1u);
  EXPECT_NE(hung.run("a").why().find("from step 0"), std::string::npos);

  Fleet silent = running_fleet();
  for (int now = 3; now < 17; ++now) EXPECT_TRUE(silent.passed(now).kills.empty()) << now;
  EXPECT_EQ(silent.passed(18).kills.size(), 1u);

  Fleet slow = running_fleet();
  WorkerReport patient = report("a", 1, 11);
  patient.set_p99_step_s(40);
  slow.reported(patient, 3);
  for (int now = 4; now < 200; ++now) {
    patient.set_step(11);
    slow.reported(patient, now);
    ASSERT_TRUE(slow.passed(now).kills.empty()) << now;
  }
}

TEST(Fleet, a_save_that_came_to_nothing_is_told_once_until_one_succeeds) {
  Fleet fleet = running_fleet();
  WorkerReport failed = report("a", 1, 11);
  failed.set_unsaved("the disk is full");
  const Effects told = fleet.reported(failed, 3);
  ASSERT_EQ(told.events.size(), 1u);
  EXPECT_EQ(told.events[0].kind(), "unsaved");
  EXPECT_EQ(told.events[0].text(), "the disk is full");
  EXPECT_TRUE(fleet.reported(failed, 4).events.empty());
  EXPECT_EQ(fleet.run("a").unsaved(), "the disk is full");
  EXPECT_EQ(state(fleet), RunView::RUNNING);
  EXPECT_TRUE(fleet.reported(report("a", 1, 12), 5).events.empty());
  EXPECT_EQ(fleet.run("a").unsaved(), "");
}

TEST(Fleet, an_evaluation_may_take_long_as_long_as_requests_are_answered) {
  Fleet fleet = running_fleet({.setup_s = 100});
  WorkerReport asked = report("a", 1, 10, EVALUATING);
  for (int now = 3; now < 400; ++now) {
    asked.set_asked(static_cast<uint64_t>(now / 50));
    fleet.reported(asked, now);
    ASSERT_TRUE(fleet.passed(now).kills.empty()) << now;
  }
  size_t kills = 0;
  for (int now = 400; now < 600; ++now) {
    fleet.reported(asked, now);
    kills += fleet.passed(now).kills.size();
  }
  EXPECT_GT(kills, 0u) << "nothing is answered any more";
}

// What one of two ranks says of itself.
WorkerReport word_of(int rank, uint64_t step, const std::string& waits_for) {
  WorkerReport said = report("a", 1, step);
  said.mutable_rank()->set_rank(rank);
  said.mutable_rank()->set_host("gpu" + std::to_string(rank));
  said.mutable_rank()->set_process(100 + rank);
  said.mutable_rank()->set_waits_for(waits_for);
  return said;
}

TEST(Fleet, who_keeps_the_others_waiting_is_named_with_what_they_wait_for) {
  const std::string reduce = "dp of rank 0: all_reduce number 7";
  Fleet silent = running_fleet();
  silent.reported(word_of(1, 10, ""), 2);
  bool suspected = false;
  for (int now = 3; now <= 17; ++now) {
    silent.reported(word_of(0, 10, reduce), now);
    const Effects effects = silent.passed(now);
    EXPECT_TRUE(effects.kills.empty()) << now;
    for (const Event& event : effects.events)
      suspected = suspected || event.text() == "no word from rank 1 (gpu1, process 101) for 7 s";
  }
  EXPECT_EQ(silent.run("a").suspect(), "rank 1 (gpu1, process 101)");
  silent.reported(word_of(0, 10, reduce), 18);
  EXPECT_EQ(silent.passed(18).kills.size(), 1u);
  EXPECT_EQ(
      silent.run("a").why(),
      "no step for 16 s; no word from rank 1 (gpu1, process 101) for 16 s; rank 0 waits for " +
          reduce);
  EXPECT_TRUE(suspected);

  Fleet busy = running_fleet();
  for (int now = 3; now <= 63; ++now) {
    busy.reported(word_of(0, 10, reduce), now);
    busy.reported(word_of(1, 10, ""), now);
    busy.passed(now);
  }
  EXPECT_NE(busy.run("a").why().find("rank 1 (gpu1, process 101) is busy and waits for nobody; "
                                     "rank 0 waits for dp of rank 0"),
            std::string::npos)
      << busy.run("a").why();
}

TEST(Fleet, a_pause_of_its_own_is_nobodys_silence) {
  Fleet fleet = running_fleet();
  fleet.passed(3);
  EXPECT_TRUE(fleet.passed(1000).kills.empty()) << "the machine was suspended";
  for (int now = 1001; now < 1014; ++now) EXPECT_TRUE(fleet.passed(now).kills.empty()) << now;
  EXPECT_EQ(fleet.passed(1016).kills.size(), 1u) << "but not the worker's later one";
}

TEST(Fleet, a_rank_that_speaks_again_is_not_suspected_any_more) {
  Fleet fleet = running_fleet();
  for (int now = 3; now < 12; ++now) fleet.passed(now);
  EXPECT_FALSE(fleet.run("a").suspect().empty());
  fleet.reported(report("a", 1, 11), 12);
  fleet.passed(12);
  EXPECT_TRUE(fleet.run("a").suspect().empty());
}

TEST(Fleet, steps_that_are_seen_keep_a_worker_alive_that_cannot_report) {
  Fleet fleet = running_fleet();
  for (int now = 3; now < 300; ++now) {
    fleet.stepped("a", static_cast<uint64_t>(10 + now), now);
    ASSERT_TRUE(fleet.passed(now).kills.empty()) << now;
  }
}

TEST(Fleet, a_worker_of_an_older_generation_is_told_to_leave_and_changes_nothing) {
  Fleet fleet = running_fleet();
  fleet.ended("a", 1, crash, 3);
  fleet.passed(3);
  fleet.reported(report("a", 1, 500), 4);
  EXPECT_LT(fleet.run("a").step(), 500u);
  EXPECT_TRUE(fleet.wishes("a", 1).stop());
  EXPECT_FALSE(fleet.wishes("a", 2).stop());
  EXPECT_FALSE(fleet.wishes("unknown", 1).stop()) << "another orchestrator's run goes on";
}

TEST(Fleet, a_job_that_waits_in_a_queue_elsewhere_takes_no_slot_and_its_silence_is_no_fault) {
  Fleet fleet({});  // one slot
  RunView big = new_run("a", 64);
  big.set_launcher("slurm");
  fleet.submit(big, 0);
  fleet.submit(new_run("b"), 0);
  EXPECT_EQ(fleet.passed(0).launches.size(), 2u);
  fleet.command(command("b", KILL_RUN), 0);
  fleet.ended("b", 1, crash, 0);
  fleet.reported(report("a", 1, 5), 1);
  for (int now = 2; now < 3000; ++now) {  // the time limit came, and it queues again
    fleet.placed("a", 1, true, "SLURM job 17: waits (Priority)", now);
    const Effects effects = fleet.passed(now);
    for (const auto& kill : effects.kills) EXPECT_NE(kill.run, "a") << now;
  }
  EXPECT_EQ(state(fleet), RunView::STARTING);
  EXPECT_EQ(fleet.run("a").why(), "SLURM job 17: waits (Priority)");
  fleet.placed("a", 1, false, "SLURM job 17", 3000);
  fleet.reported(report("a", 1, 6), 3001);
  EXPECT_EQ(state(fleet), RunView::RUNNING);
  // Nobody there could hear of a pause.
  fleet.placed("a", 1, true, "SLURM job 17: waits (Priority)", 3002);
  fleet.command(command("a", PAUSE_RUN), 3003);
  EXPECT_EQ(fleet.passed(3003).kills.size(), 1u);
}

}  // namespace
}  // namespace katman::testing
