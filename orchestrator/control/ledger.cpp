#include "orchestrator/control/ledger.h"

#include <algorithm>
#include <array>

namespace katman {
namespace {

// Seconds in each state.
struct ByState {
  std::array<double, RunView::State_ARRAYSIZE> seconds{};
  double of(std::initializer_list<RunView::State> states) const {
    double sum = 0;
    for (const RunView::State state : states) sum += seconds[state];
    return sum;
  }
};

ByState by_state(const std::vector<StateChange>& changes, double now) {
  ByState all;
  for (size_t i = 0; i < changes.size(); ++i) {
    const double end = i + 1 < changes.size() ? changes[i + 1].time : now;
    all.seconds[changes[i].state] += std::max(0.0, end - changes[i].time);
  }
  return all;
}

}  // namespace

std::vector<TimeShare> account(const std::vector<StateChange>& changes, const WorkerSeconds& worker,
                               double now) {
  const ByState time = by_state(changes, now);
  const double running = time.of({RunView::RUNNING, RunView::PAUSING, RunView::STOPPING});
  const double starting = time.of({RunView::STARTING, RunView::RECOVERING});
  const double told =
      worker.counting_steps + worker.discarded_steps + worker.saving + worker.validating;
  // A run is called running after its first step, which took time, too; but what a worker says it
  // did cannot be longer than its processes existed.
  const double first_steps = std::clamp(told - running, 0.0, starting);
  const double scale = told > running + first_steps ? (running + first_steps) / told : 1;

  std::vector<TimeShare> shares;
  const auto add = [&](const char* what, double seconds) {
    TimeShare& share = shares.emplace_back();
    share.set_what(what);
    share.set_seconds(seconds);
  };
  add("productive", scale * (worker.counting_steps - worker.data));
  add("recomputed", scale * worker.discarded_steps);
  add("waiting for data", scale * worker.data);
  add("checkpointing", scale * worker.saving);
  add("validating", scale * worker.validating);
  add("restarting", starting - first_steps);
  add("queued", time.of({RunView::QUEUED}));
  add("paused", time.of({RunView::PAUSED, RunView::STOPPED, RunView::FAILED, RunView::ATTENTION}));
  add("other", running + first_steps - scale * told);
  return shares;
}

}  // namespace katman
