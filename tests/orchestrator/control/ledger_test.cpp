// Where the time went: every second under one name.
#include "orchestrator/control/ledger.h"

#include <gtest/gtest.h>

#include <map>

namespace katman::testing {
namespace {

std::map<std::string, double> shares(const std::vector<StateChange>& changes,
                                     const WorkerSeconds& worker, double now) {
  std::map<std::string, double> seconds;
  for (const TimeShare& share : account(changes, worker, now))
    seconds[share.what()] = share.seconds();
  return seconds;
}

double sum(const std::map<std::string, double>& shares) {
  double all = 0;
  for (const auto& [what, seconds] : shares) all += seconds;
  return all;
}

TEST(Ledger, every_second_since_the_submission_has_one_name) {
  const std::vector<StateChange> changes = {
      {100, RunView::QUEUED},     {110, RunView::STARTING}, {115, RunView::RUNNING},
      {215, RunView::RECOVERING}, {220, RunView::STARTING}, {225, RunView::RUNNING},
      {325, RunView::PAUSING},    {327, RunView::PAUSED},   {400, RunView::QUEUED},
      {401, RunView::STARTING},   {405, RunView::RUNNING}};
  const auto seconds = shares(
      changes,
      {.counting_steps = 150, .discarded_steps = 20, .data = 10, .saving = 6, .validating = 4},
      505);
  EXPECT_EQ(seconds.at("queued"), 11);
  EXPECT_EQ(seconds.at("restarting"), 5 + 5 + 5 + 4);
  EXPECT_EQ(seconds.at("paused"), 73);
  EXPECT_EQ(seconds.at("productive"), 140);
  EXPECT_EQ(seconds.at("waiting for data"), 10);
  EXPECT_EQ(seconds.at("recomputed"), 20);
  EXPECT_EQ(seconds.at("checkpointing"), 6);
  EXPECT_EQ(seconds.at("validating"), 4);
  EXPECT_EQ(seconds.at("other"), 302 - 180);
  EXPECT_DOUBLE_EQ(sum(seconds), 405);
}

TEST(Ledger, a_first_step_is_taken_out_of_the_start_and_never_more_than_there_is) {
  const std::vector<StateChange> changes = {{0, RunView::QUEUED},
                                            {1, RunView::STARTING},
                                            {11, RunView::RUNNING},
                                            {21, RunView::COMPLETED}};
  const auto seconds = shares(changes, {.counting_steps = 13}, 1000);
  EXPECT_EQ(seconds.at("productive"), 13);
  EXPECT_EQ(seconds.at("restarting"), 7);
  EXPECT_DOUBLE_EQ(sum(seconds), 21) << "what is completed takes no more time";
  const auto too_much = shares(changes, {.counting_steps = 90, .saving = 10}, 1000);
  EXPECT_DOUBLE_EQ(sum(too_much), 21);
  EXPECT_DOUBLE_EQ(too_much.at("productive"), 18);
}

TEST(Ledger, nothing_has_taken_no_time) { EXPECT_EQ(sum(shares({}, {}, 1000)), 0); }

}  // namespace
}  // namespace katman::testing
