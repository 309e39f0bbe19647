// SIGTERM, SIGINT and SIGUSR1 as a wish instead of an end.
#pragma once

namespace katman {

// While this lives, the first SIGTERM or SIGINT sets requested(); a second one ends the process as
// usual, so that a hanging run can still be interrupted. SIGUSR1 sets it as well, however often it
// comes: it is what SLURM sends ahead of a time limit (--signal=USR1@120), and what mpirun passes
// on to its ranks. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const;
};

}  // namespace katman
