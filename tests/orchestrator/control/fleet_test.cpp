// What becomes of runs, decided without a clock or a process.
#include "orchestrator/control/fleet.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core/error.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

RunView new_run(const std::string& name, int ranks = 1, int priority = 0) {
  RunView run;
  run.set_name(name);
  run.set_ranks(ranks);
  run.set_priority(priority);
  run.set_steps(1000);
  return run;
}

WorkerReport report(const std::string& run, uint64_t generation, uint64_t step,
                    Phase phase = TRAINING) {
  WorkerReport report;
  report.set_run(run);
  report.set_generation(generation);
  report.set_step(step);
  report.set_phase(phase);
  return report;
}

CommandRequest command(const std::string& run, Verb verb, const std::string& id = "c") {
  CommandRequest request;
  request.set_id(id);
  request.set_run(run);
  request.set_verb(verb);
  return request;
}

const Ending crash{.signalled = true, .how = "signal 9"}, clean{.clean = true},
    error{.how = "broken"};

// A fleet with one run "a" that has done ten steps by time 2.
Fleet running_fleet(FleetPolicy policy = {}) {
  Fleet fleet(std::move(policy));
  fleet.submit(new_run("a"), 0);
  fleet.passed(0);
  fleet.reported(report("a", 1, 0), 1);
  fleet.reported(report("a", 1, 10), 2);
  return fleet;
}

RunView::State state(const Fleet& fleet, const std::string& run = "a") {
  return fleet.run(run).state();
}

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

TEST(Fleet, a_job_that_somebody_cancelled_elsewhere_is_held) {
  Fleet fleet = running_fleet();
  fleet.ended("a", 1, {.signalled = true, .withdrawn = true, .how = "SLURM job 17 was cancelled"},
              3);
  EXPECT_EQ(state(fleet), RunView::ATTENTION);
  EXPECT_TRUE(fleet.passed(1e6).launches.empty());
}

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

TEST(Fleet, a_worker_that_went_back_by_itself_is_started_again_and_that_is_no_error) {
  Fleet fleet = running_fleet();
  fleet.committed("a", 10, 2);
  fleet.rolled_back("a", 4, "after step 12, the loss was not a finite number", 3);
  fleet.ended("a", 1, {.rolled_back = true, .how = "back to step 4"}, 3);
  EXPECT_EQ(fleet.passed(3).launches.size(), 1u);
  EXPECT_EQ(fleet.run("a").restarts(), 0u);
  EXPECT_EQ(fleet.run("a").step(), 4u);
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

TEST(Fleet, a_generation_is_above_all_that_the_checkpoints_know) {
  Fleet fleet = running_fleet();
  fleet.logged("a", 5);  // SLURM started its job again, several times
  fleet.ended("a", 1, crash, 3);
  EXPECT_EQ(fleet.passed(3).launches[0].generation, 6u);
}

TEST(Fleet, steps_that_are_seen_keep_a_worker_alive_that_cannot_report) {
  Fleet fleet = running_fleet();
  for (int now = 3; now < 300; ++now) {
    fleet.stepped("a", static_cast<uint64_t>(10 + now), now);
    ASSERT_TRUE(fleet.passed(now).kills.empty()) << now;
  }
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

// Processes that do anything at any time, people that press any button, an orchestrator that is
// killed and comes back: the fleet against what it promises.
class World {
 public:
  explicit World(unsigned seed) : random_(seed), fleet_(policy()) {
    for (const char* name : {"a", "b", "c", "d"}) {
      fleet_.submit(new_run(name, 1 + below(3), below(2)), 0);
      runs_[name];
    }
  }

  void happen() {
    now_ += below(4) == 0 ? below(40) : 0.2;
    auto it = std::next(runs_.begin(), below(4));
    const std::string& name = it->first;
    Truth& truth = it->second;
    switch (below(9)) {
      case 0:
        ask(name, truth);
        break;
      case 1:
        end(name, truth);
        break;
      case 2:
        if (truth.live) see(fleet_.committed(name, truth.step, now_), &truth, true);
        break;
      case 3:
        if (below(10) == 0) come_back();
        break;
      case 4:
        if (truth.live) {
          truth.queued = below(3) == 0;
          see(fleet_.placed(name, truth.generation, truth.queued, "a job", now_));
        }
        break;
      default:
        work(name, truth);
    }
    see(fleet_.passed(now_));
  }

  // Everybody leaves when told, and nobody asks any more: then nothing may stay unanswered.
  void settle() {
    for (int round = 0; round < 50; ++round) {
      for (auto& [name, truth] : runs_) {
        if (truth.live && truth.queued) {
          truth.queued = false;
          see(fleet_.placed(name, truth.generation, false, "a job", now_));
        }
        work(name, truth);
        if (truth.live) see(fleet_.committed(name, truth.step, now_), &truth, true);
        if (truth.live && (truth.killed || fleet_.wishes(name, truth.generation).stop()))
          end(name, truth);
      }
      now_ += 5;
      see(fleet_.passed(now_));
    }
    EXPECT_EQ(answered_.size(), asked_) << "a command was lost";
  }

 private:
  struct Truth {
    bool live = false, killed = false, wanted = true, queued = false;
    uint64_t generation = 0, step = 0, saves_taken = 0, save_step = 0;
    int starts_in_vain = 0;  // since the last progress or command
  };

  static FleetPolicy policy() {
    FleetPolicy policy;
    policy.slots = 4;
    return policy;
  }
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  void work(const std::string& name, Truth& truth) {
    if (!truth.live || truth.queued) return;
    ++truth.step;
    const uint64_t wanted = fleet_.wishes(name, truth.generation).saves_wanted();
    if (wanted > truth.saves_taken) {
      truth.saves_taken = wanted;
      truth.save_step = truth.step;
    }
    WorkerReport said =
        report(name, truth.generation - static_cast<uint64_t>(below(20) == 0), truth.step);
    said.set_saves_taken(truth.saves_taken);
    said.set_save_step(truth.save_step);
    see(fleet_.reported(said, now_));
  }

  void end(const std::string& name, Truth& truth) {
    if (!truth.live) return;
    truth.live = truth.killed = false;
    const Ending back{.rolled_back = true, .how = "back"};
    const Ending endings[] = {crash, clean, error, back};
    const int how = below(4);
    if (how == 3) see(fleet_.rolled_back(name, fleet_.run(name).committed() / 2, "NaN", now_));
    // A worker goes back a bounded number of times; here, as often as somebody presses a button.
    if (how == 3) truth.starts_in_vain = -1;
    see(fleet_.ended(name, truth.generation, endings[how], now_));
  }

  void ask(const std::string& name, Truth& truth) {
    const Verb verb = static_cast<Verb>(1 + below(7));
    const std::string id = std::to_string(++asked_);
    CommandRequest request = command(name, verb, id);
    request.set_step(verb == ROLL_BACK_RUN ? fleet_.run(name).committed() / 2 : 0);
    const bool starts = verb == RESUME_RUN || verb == RESTART_RUN || verb == ROLL_BACK_RUN;
    if (starts && below(3) == 0) request.set_layout(below(2) ? "tp=1 dp=1 pp=1" : "tp=2 dp=1 pp=1");
    const Effects effects = fleet_.command(request, now_);
    const bool refused = !effects.answers.empty() && effects.answers[0].id == id &&
                         effects.answers[0].result.outcome() == CommandResult::REFUSED;
    if (!refused && verb != CHECKPOINT_NOW) {
      truth.wanted = starts;
      truth.starts_in_vain = -1;
    }
    if (!refused) pending_[id] = request;
    see(effects);
  }

  // Killed and restarted: it knows what was stored.
  void come_back() {
    Fleet next(policy());
    for (const RunView* run : fleet_.runs()) {
      std::vector<CommandRequest> pending;
      for (const auto& [id, request] : pending_)
        if (request.run() == run->name()) pending.push_back(request);
      next.restore(*run, pending, now_);
    }
    fleet_ = std::move(next);
  }

  void see(const Effects& effects, Truth* progressed = nullptr, bool commit = false) {
    if (progressed && commit && !effects.changed.empty()) progressed->starts_in_vain = 0;
    for (const auto& [id, result] : effects.answers) {
      EXPECT_TRUE(answered_.insert(id).second) << "answered twice: " << id;
      pending_.erase(id);
    }
    for (const auto& [name, generation] : effects.kills) {
      if (runs_[name].generation == generation) runs_[name].killed = true;
    }
    for (const auto& [name, step, why] : effects.rollbacks) {
      EXPECT_FALSE(runs_[name].live) << name << ": its processes may still commit";
      if (below(3)) see(fleet_.rolled_back(name, step, why, now_));
    }
    for (const auto& [name, generation] : effects.launches) {
      EXPECT_FALSE(fleet_.run(name).rolling_back()) << name << ": before it is rolled back";
      Truth& truth = runs_[name];
      EXPECT_FALSE(truth.live) << name << ": two live generations";
      EXPECT_GT(generation, truth.generation);
      EXPECT_TRUE(truth.wanted) << name << " was started though nobody wants it";
      EXPECT_LE(++truth.starts_in_vain, 4) << name << ": a restart storm";
      truth = {.live = true,
               .wanted = truth.wanted,
               .generation = generation,
               .step = fleet_.run(name).committed(),
               .starts_in_vain = truth.starts_in_vain};
    }
    int ranks = 0;
    for (const auto& [name, truth] : runs_) ranks += truth.live ? fleet_.run(name).ranks() : 0;
    EXPECT_LE(ranks, policy().slots);
  }

  std::mt19937 random_;
  Fleet fleet_;
  std::map<std::string, Truth> runs_;
  std::map<std::string, CommandRequest> pending_;
  std::set<std::string> answered_;
  size_t asked_ = 0;
  double now_ = 0;
};

TEST(Fleet, keeps_its_promises_in_any_order_of_events) {
  for (unsigned seed = 0; seed < 200 && !HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    World world(seed);
    for (int i = 0; i < 600 && !HasFailure(); ++i) world.happen();
    world.settle();
  }
}

}  // namespace
}  // namespace katman::testing
