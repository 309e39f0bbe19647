// What Fleet promises, in any order of events.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "core/error.h"
#include "tests/support/fleet.h"

namespace katman::testing {
namespace {

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
        commit(name, truth);
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
        commit(name, truth);
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
    int rung = 0;            // errors less checkpoints since the last command, within the ladder
    double earliest = 0;     // after an error
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

  void commit(const std::string& name, Truth& truth) {
    if (!truth.live) return;
    const bool newer = truth.step > fleet_.run(name).committed();
    see(fleet_.committed(name, truth.step, now_));
    if (!newer) return;
    truth.starts_in_vain = 0;
    truth.rung = std::max(0, truth.rung - 1);
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
    const uint32_t restarts = fleet_.run(name).restarts();
    see(fleet_.ended(name, truth.generation, endings[how], now_));
    truth.earliest = now_;
    if (fleet_.run(name).restarts() == restarts) return;
    truth.earliest += policy().backoff_s[static_cast<size_t>(truth.rung)];
    truth.rung = std::min(truth.rung + 1, 3);
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
      truth.earliest = 0;
      if (starts) truth.rung = 0;
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

  void see(const Effects& effects) {
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
      EXPECT_GE(now_, truth.earliest) << name << " did not wait";
      truth = {.live = true,
               .wanted = truth.wanted,
               .generation = generation,
               .step = fleet_.run(name).committed(),
               .starts_in_vain = truth.starts_in_vain,
               .rung = truth.rung};
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
