// How long a schedule will take and how much it will hold, without running it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "parallel/pipeline/schedule.h"
#include "parallel/pipeline/timeline.h"

namespace katman {

// Seconds per action of one stage. A whole backward pass costs both parts.
struct Costs {
  double forward_s = 1, backward_input_s = 1, backward_weight_s = 1;
  double transfer_s = 0;             // between ranks, while the sender goes on
  std::vector<double> stage_factor;  // [stage], of all three; empty: every stage alike

  double of(const Action& action) const;
};

struct Simulation {
  Timeline timeline;
  std::vector<int> peak_activations;  // [rank], micro-batches times stages alive at once
};

// Plays the compute actions as soon as rank and inputs are free; transfers and reduces in the
// schedule are ignored, their time is in the costs. The schedule must be free of deadlocks.
Simulation simulate(const Schedule& schedule, const Costs& costs);

// The bubble that a kind of schedule has in theory when stages are alike and transfers are free:
// idle time per rank over makespan, idle being
//   (p-1)(F + I + W)  for gpipe and 1f1b, divided by chunks for interleaved;
//   (p-1)(F + I - W)  for zero_bubble, where W <= I and W <= F + I;
//   (p-1) F           for zero_bubble_h2, where I <= 2F, I <= 2W and m >= 2p - 1
// (Qi et al., 2023). Nothing where it is not exact: there, with fewer micro-batches than ranks,
// with an interleaved number that p does not divide, and for schedules from files.
std::optional<double> theoretical_bubble(const std::string& kind, int ranks, int micros, int chunks,
                                         const Costs& costs);

}  // namespace katman
