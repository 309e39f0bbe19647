#include "parallel/pipeline/simulate.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"

namespace katman {
namespace {

class Simulator {
 public:
  Simulator(const Schedule& schedule, const Costs& costs)
      : schedule_(schedule), costs_(costs), stages_(stages_of(schedule)) {}

  Simulation run() {
    const size_t ranks = schedule_.size();
    std::vector<size_t> next(ranks);
    std::vector<double> free(ranks);
    Simulation result;
    result.timeline.ranks.resize(ranks);
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t rank = 0; rank < ranks; ++rank) {
        for (; next[rank] < schedule_[rank].size(); ++next[rank], moved = true) {
          const Action& a = schedule_[rank][next[rank]];
          if (!is_compute(a.what)) continue;
          const auto ready = inputs_ready(a);
          if (!ready) break;
          const double start = std::max(free[rank], *ready);
          free[rank] = start + costs_.of(a);
          if (a.what == Do::forward) forwards_[{a.stage, a.micro}] = free[rank];
          if (a.what == Do::backward || a.what == Do::backward_input)
            gradients_[{a.stage, a.micro}] = free[rank];
          result.timeline.ranks[rank].push_back({a, start, free[rank]});
        }
      }
    }
    for (size_t rank = 0; rank < ranks; ++rank) {
      if (next[rank] < schedule_[rank].size())
        fail("the schedule deadlocks at {} of rank {}", to_string(schedule_[rank][next[rank]]),
             rank);
      result.peak_activations.push_back(peak(schedule_[rank]));
    }
    return result;
  }

 private:
  using Times = std::map<std::pair<int, int>, double>;  // (stage, micro)

  std::optional<double> arrival(const Times& times, const Action& a, int from) const {
    const auto found = times.find({from, a.micro});
    if (found == times.end()) return std::nullopt;
    const int ranks = static_cast<int>(schedule_.size());
    const bool travels = rank_of(from, ranks) != rank_of(a.stage, ranks);
    return found->second + (travels ? costs_.transfer_s : 0);
  }
  std::optional<double> inputs_ready(const Action& a) const {
    if (a.what == Do::forward) return a.stage ? arrival(forwards_, a, a.stage - 1) : 0;
    if (a.what == Do::backward_weight) return 0;  // its input part came before it, here
    return a.stage < stages_ - 1 ? arrival(gradients_, a, a.stage + 1) : 0;
  }
  static int peak(const Program& program) {
    int live = 0, most = 0;
    for (const Action& a : program) {
      live += a.what == Do::forward;
      most = std::max(most, live);
      live -= a.what == Do::backward || a.what == Do::backward_weight;
    }
    return most;
  }

  const Schedule& schedule_;
  const Costs& costs_;
  int stages_;
  Times forwards_, gradients_;  // when they were finished
};

}  // namespace

double Costs::of(const Action& a) const {
  const auto stage = static_cast<size_t>(a.stage);
  const double factor = stage < stage_factor.size() ? stage_factor[stage] : 1;
  switch (a.what) {
    case Do::forward:
      return factor * forward_s;
    case Do::backward:
      return factor * (backward_input_s + backward_weight_s);
    case Do::backward_input:
      return factor * backward_input_s;
    case Do::backward_weight:
      return factor * backward_weight_s;
    default:
      return 0;
  }
}

Simulation simulate(const Schedule& schedule, const Costs& costs) {
  return Simulator(schedule, costs).run();
}

std::optional<double> theoretical_bubble(const std::string& kind, int ranks, int micros, int chunks,
                                         const Costs& costs) {
  const double f = costs.forward_s, i = costs.backward_input_s, w = costs.backward_weight_s;
  if (micros < ranks || costs.transfer_s != 0) return {};
  double idle_per_rank = f + i + w;  // and rank after the first
  if (kind == "zero_bubble") {
    if (w > i || w > f + i) return {};
    idle_per_rank = f + i - w;
  } else if (kind == "zero_bubble_h2") {
    if (i > 2 * f || i > 2 * w || micros < 2 * ranks - 1) return {};
    idle_per_rank = f;
  } else if (kind == "interleaved") {
    if (micros % ranks) return {};
  } else if (kind != "gpipe" && kind != "1f1b") {
    return {};
  }
  const double idle = (ranks - 1) * idle_per_rank;
  return idle / (idle + micros * chunks * (f + i + w));
}

double Timeline::makespan_s() const {
  double end = 0;
  for (const auto& spans : ranks)
    for (const Span& span : spans) end = std::max(end, span.end_s);
  return end;
}

double Timeline::bubble() const {
  double busy = 0;
  for (const auto& spans : ranks)
    for (const Span& span : spans)
      if (is_compute(span.action.what)) busy += span.end_s - span.start_s;
  const double total = makespan_s() * static_cast<double>(ranks.size());
  return total > 0 ? 1 - busy / total : 0;
}

}  // namespace katman
