// Starting a run's ranks on this machine.
#pragma once

#include "orchestrator/worker.h"
#include "proto/run.pb.h"

namespace katman {

// Runs a completed spec here: one rank in this process, several as processes under mpirun (as root
// too, and with more ranks than cores). Returns when the run has ended.
Outcome run_here(const RunSpec& spec);

}  // namespace katman
