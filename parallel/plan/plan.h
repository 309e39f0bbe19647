// What a run will ask of its devices, before it asks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "parallel/plan/rehearsal_backend.h"
#include "parallel/plan/rehearsal_comm.h"
#include "parallel/trainer.h"

namespace katman {

// One rank of a pipeline stage: the one that needs most memory. The others of the stage hold as
// much, but for a sequence here and there.
struct StagePlan {
  int stage = 0, ranks = 1;  // pipeline rank, and how many ranks it is made of
  // Of the device, in bytes.
  int64_t weights = 0, gradients = 0, optimizer = 0;
  int64_t packed = 0;       // copies of weights, see DeviceHabits
  int64_t logits = 0;       // of the largest chunk
  int64_t activations = 0;  // everything else at the fullest moment of a step
  int64_t peak = 0;         // all of the above
  int64_t held = 0;  // what the device is asked for: peak, and blocks that wait for their like
  // Of the host: the copy that a save writes from.
  int64_t snapshot = 0;
  Effort forward, step;  // of all micro-batches: without gradients, and a whole step
  Traffic traffic;       // of a step
};

// Runs one step of every stage on a device of this kind that computes nothing: the same code asks
// for the same memory. Exact for what the trainer asks for; what a device's libraries take for
// themselves is not in it.
std::vector<StagePlan> plan_run(const TrainConfig& config, const std::string& device_kind);

// The largest need of any rank: of its device and, where that is the host, of the copy for saves.
int64_t needed_bytes(const std::vector<StagePlan>& plan, bool on_host);

// The nearest run that needs at most `bytes` per rank: smaller micro-batches before recomputation
// before more ranks. Nothing when none of those does.
struct Nearest {
  TrainConfig config;
  int64_t bytes = 0;
  std::string change;  // "data.micro_batch=2 mesh.recompute=full", as for --set
};
std::optional<Nearest> nearest_that_fits(const TrainConfig& config, const std::string& device_kind,
                                         int64_t bytes);

// Throws UsageError, with the nearest run that fits, when a rank needs more than `bytes`. `whose`:
// "cuda:0", for the sentence.
void require_fit(const TrainConfig& config, const std::string& device_kind, int64_t bytes,
                 const std::string& whose);

// Speeds of a device, in units per second.
struct DeviceSpeed {
  double flops = 0;  // of large matrix products in the run's precision
  double bytes = 0;  // read and written by everything else
};
// How long a step computes, transfers not counted: products at `flops` and everything else at
// `bytes`, played through the run's schedule.
struct StepTime {
  double seconds = 0;
  double bubble = 0;  // idle share of a pipeline rank
};
StepTime estimate_step(const TrainConfig& config, const std::vector<StagePlan>& plan,
                       const DeviceSpeed& speed);

}  // namespace katman
