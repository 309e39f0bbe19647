// How long a schedule will take and how much it will hold, without running it.
#pragma once

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

// The bubble of p ranks that a kind of schedule has in theory when stages are alike, transfers are
// free and micros is at least ranks (and divisible by it when interleaved): idle time per rank over
// makespan, idle being (p-1)(F + B), /chunks when interleaved, and (p-1)(F + I - W) for zero_bubble
// where that is not negative and W is not longer than I (Qi et al., 2023).
double theoretical_bubble(const std::string& kind, int ranks, int micros, int chunks,
                          const Costs& costs);

}  // namespace katman
