// One rank of a run, from its newest checkpoint (or step 0) to its end.
#pragma once

#include <cstdint>
#include <string>

#include "core/comm.h"
#include "proto/run.pb.h"

namespace katman {

enum class Outcome {
  completed,  // every step of the spec has been done
  stopped,    // asked to stop (SIGTERM, SIGINT): saved, and starting again continues bit for bit
};

struct WorkerOptions {
  int threads = 0;          // of this rank, where the spec leaves device.threads open; 0: all cores
  uint64_t generation = 0;  // which start of the run this is; 0: the next one
  std::string report_to;    // the orchestrator's HOST:PORT; empty: there is none
};

// Trains this rank's part of a completed spec. Collective over `world`, whose size is the mesh's.
// Rank 0 reports. Everything of the run is written below spec.directory().
Outcome run_worker(const RunSpec& spec, Comm& world, const WorkerOptions& options = {});

}  // namespace katman
