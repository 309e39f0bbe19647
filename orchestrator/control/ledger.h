// Where the time of a run went.
#pragma once

#include <string>
#include <vector>

#include "proto/control.pb.h"

namespace katman {

// From when on a run was in a state.
struct StateChange {
  double time = 0;
  RunView::State state = RunView::QUEUED;
};

// Seconds that rank 0 wrote down, over all generations.
struct WorkerSeconds {
  double counting_steps = 0;   // of the steps that count, data included
  double discarded_steps = 0;  // of those that a later generation did again
  double data = 0;             // of the steps that count: waiting for their tokens
  double saving = 0;           // standing still for a checkpoint
  double validating = 0;
};

// Every second from the first change to `now` under one name, the shares of proto's TimeShare in
// its order: by state, and while the run was running by what the worker says it did. A run that is
// completed takes no more time.
std::vector<TimeShare> account(const std::vector<StateChange>& changes, const WorkerSeconds& worker,
                               double now);

}  // namespace katman
