// What people ask of Fleet.
#include <gtest/gtest.h>

#include "tests/support/fleet.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

TEST(Fleet, a_rollback_is_told_to_the_checkpoints_before_anything_starts_again) {
  Fleet fleet = running_fleet();
  fleet.committed("a", 5, 2);
  fleet.committed("a", 10, 2);
  CommandRequest back = command("a", ROLL_BACK_RUN);
  back.set_step(5);
  back.set_actor("ada");
  back.set_reason("bad data");
  EXPECT_EQ(fleet.command(back, 3).kills.size(), 1u) << "what follows is worth nothing";
  const Effects gone = fleet.ended("a", 1, crash, 4);
  ASSERT_EQ(gone.rollbacks.size(), 1u);
  EXPECT_EQ(gone.rollbacks[0].step, 5u);
  EXPECT_EQ(gone.rollbacks[0].why, "by ada: bad data");
  EXPECT_TRUE(fleet.passed(5).launches.empty());
  EXPECT_EQ(fleet.passed(6).rollbacks.size(), 1u) << "until it is done";
  const Effects done = fleet.rolled_back("a", 5, "bad data", 7);
  ASSERT_EQ(done.answers.size(), 1u);
  EXPECT_EQ(done.answers[0].result.outcome(), CommandResult::DONE);
  EXPECT_EQ(fleet.run("a").committed(), 5u);
  EXPECT_EQ(fleet.passed(8).launches.size(), 1u);
  EXPECT_EQ(fleet.run("a").restarts(), 0u);
}

TEST(Fleet, a_rollback_that_cannot_be_holds_the_run) {
  Fleet fleet = running_fleet();
  fleet.command(command("a", ROLL_BACK_RUN), 3);
  fleet.ended("a", 1, crash, 4);
  const Effects failed = fleet.not_rolled_back("a", "the disk is full", 5);
  EXPECT_EQ(failed.answers.size(), 1u);
  EXPECT_EQ(fleet.run("a").why(), "not rolled back: the disk is full");
  EXPECT_TRUE(fleet.passed(1e6).launches.empty());
}

TEST(Fleet, another_layout_counts_from_the_next_start_on) {
  Fleet fleet({.slots = 2});
  RunView one = new_run("a");
  one.set_layout("tp=1 dp=1 pp=1");
  fleet.submit(one, 0);
  fleet.passed(0);
  fleet.reported(report("a", 1, 3), 1);
  CommandRequest wider = command("a", RESTART_RUN);
  wider.set_layout("tp=1 dp=1 pp=2");
  fleet.command(wider, 2);
  EXPECT_EQ(fleet.run("a").ranks(), 1) << "its processes still hold one slot";
  fleet.ended("a", 1, clean, 3);
  fleet.passed(3);
  EXPECT_EQ(fleet.run("a").ranks(), 2);
  EXPECT_EQ(fleet.run("a").layout(), "tp=1 dp=1 pp=2");
  fleet.ended("a", 2, error, 4);
  EXPECT_EQ(state(fleet), RunView::FAILED) << "it never did a step on this layout";
  EXPECT_TRUE(fails_with("goes with resume", [&] {
    CommandRequest stop = command("a", STOP_RUN, "d");
    stop.set_layout("tp=2");
    fleet.command(stop, 5);
  }));
}

TEST(Fleet, a_checkpoint_is_answered_when_it_is_committed) {
  Fleet fleet = running_fleet();
  EXPECT_TRUE(fleet.command(command("a", CHECKPOINT_NOW), 3).answers.empty());
  EXPECT_EQ(fleet.wishes("a", 1).saves_wanted(), 1u);
  WorkerReport taken = report("a", 1, 12);
  taken.set_saves_taken(1);
  taken.set_save_step(11);
  fleet.reported(taken, 4);
  EXPECT_TRUE(fleet.committed("a", 10, 5).answers.empty()) << "an older one";
  const Effects done = fleet.committed("a", 11, 6);
  ASSERT_EQ(done.answers.size(), 1u);
  EXPECT_EQ(done.answers[0].result.outcome(), CommandResult::DONE);
  EXPECT_EQ(done.answers[0].result.text(), "taken after step 11, and saved");
  EXPECT_EQ(fleet.wishes("a", 1).saves_wanted(), 0u);
}

TEST(Fleet, of_two_people_pressing_opposite_buttons_both_get_an_answer) {
  Fleet fleet = running_fleet();
  fleet.command(command("a", STOP_RUN, "first"), 3);
  const Effects second = fleet.command(command("a", RESUME_RUN, "second"), 3);
  ASSERT_EQ(second.answers.size(), 1u);
  EXPECT_EQ(second.answers[0].id, "first");
  EXPECT_EQ(second.answers[0].result.outcome(), CommandResult::SUPERSEDED);
  const Effects gone = fleet.ended("a", 1, clean, 4);
  ASSERT_EQ(gone.answers.size(), 1u);
  EXPECT_EQ(gone.answers[0].id, "second");
  EXPECT_EQ(gone.answers[0].result.outcome(), CommandResult::DONE);
  EXPECT_EQ(fleet.passed(4).launches.size(), 1u);

  CommandRequest late = command("a", STOP_RUN, "late");
  late.set_expected_version(1);
  const Effects refused = fleet.command(late, 5);
  EXPECT_EQ(refused.answers[0].result.outcome(), CommandResult::REFUSED);
}

}  // namespace
}  // namespace katman::testing
