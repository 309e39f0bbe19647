// How fast a whole training step is, beside what the same device gives to a large matrix product.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "orchestrator/bench/trace.h"

namespace katman {

struct StepBench {
  std::string preset = "gpt2-124m";
  int64_t sequence = 0;       // 0: the preset's
  int64_t micro_batch = 4;    // sequences per forward pass
  int64_t micro_batches = 1;  // per optimizer step
  int64_t steps = 5;          // timed, after one to warm up
  std::string device = "auto", precision = "bf16";
  std::string recompute = "none";  // of activations: none, selective or full
  int threads = 0;                 // 0: all cores
  int64_t peak_size = 4096;        // of the square product to compare with; 0: none
  bool any_order = false;          // of sums, as is fastest, not the same twice: on CUDA only
  bool trace = false;              // three steps more, traced: on CUDA only
};

struct StepFigures {
  std::string device;
  int64_t tokens_per_step = 0;
  double best_s = 0, median_s = 0;  // seconds per step
  double enqueue_s = 0;             // the host's part of a step: until all of it is enqueued
  double tokens_per_s = 0;          // from the median
  double flops_per_token = 0;       // GptConfig::flops_per_token()
  int64_t peak_size = 0;            // of the square product below
  double peak_flops = 0;            // what it reaches in the same run
  double mfu = 0;                   // tokens_per_s * flops_per_token / peak_flops
  double nominal_flops = 0;         // of the device's data sheet, where it is known
  double nominal_mfu = 0;           // the same over that
  double first_loss = 0, last_loss = 0;
  int64_t memory_bytes = 0;      // most that the pool had in use
  int64_t late_allocations = 0;  // requests to the system after the first step: must be 0
  std::optional<TraceFigures> trace;
};

// Trains on uniformly random tokens: the arithmetic is the same, and the loss starts at ln(V).
// Throws UsageError, with what would fit, for a model that does not fit into the device's memory.
StepFigures run_step_bench(const StepBench& bench);

}  // namespace katman
