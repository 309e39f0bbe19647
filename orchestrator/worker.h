// One rank of a run, from its newest checkpoint (or step 0) to its end.
#pragma once

#include <cstdint>
#include <string>

#include "core/comm.h"
#include "core/error.h"
#include "orchestrator/control/reach.h"
#include "proto/run.pb.h"

namespace katman {

enum class Outcome {
  completed,  // every step of the spec has been done
  stopped,    // asked to stop (SIGTERM, SIGINT): saved, and starting again continues bit for bit
};

struct WorkerOptions {
  int threads = 0;          // of this rank, where the spec leaves device.threads open; 0: all cores
  uint64_t generation = 0;  // which start of the run this is; 0: the next one
  Reach report_to;          // the orchestrator; an empty address: there is none
  bool terminal = false;    // standard error ends at one, even if it is a pipe here
};

// The run went back to an earlier checkpoint and shall be started again from there: its commit log
// says so, this process has done its part.
struct RolledBack : Error {
  using Error::Error;
};
// What a process exits with then: neither done nor broken (EX_TEMPFAIL of sysexits.h).
inline constexpr int rolled_back_status = 75;
// And after Diverged (EX_DATAERR): whoever starts it again unchanged sees the same.
inline constexpr int diverged_status = 65;

// Trains this rank's part of a completed spec. Collective over `world`, whose size is the mesh's.
// Rank 0 keeps the figures, every rank says how it stands. Everything of the run is written below
// spec.directory(). Throws, on all ranks, RolledBack when spec.recovery() wants that after a step,
// and Diverged when that has been tried often enough.
Outcome run_worker(const RunSpec& spec, Comm& world, const WorkerOptions& options = {});

}  // namespace katman
