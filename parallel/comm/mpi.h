// Ranks that are MPI processes, on host memory.
#pragma once

#include <chrono>
#include <memory>

#include "core/comm.h"

namespace katman {

class MpiEngine;

// The process's part in an MPI job. Messages are plain sends and receives between pairs; sums are
// formed here (core/sum.h), so that they are the same on every MPI and right for bf16. A
// thread of its own keeps transfers moving while the rank computes, and sleeps when there are none.
// Every message says what its sender thinks it is part of: ranks that disagree about operation,
// type or size get an Error that names both.
//
// An all_reduce of n bytes over p ranks sends each rank 2 n (p-1)/p bytes in two rounds (slices to
// their owners, sums back), or n (p-1) in one round when n is small; all_gather and reduce_scatter
// are one round of n (p-1)/p.
class MpiSession {
 public:
  // Whether this process was started by mpirun or srun, so that a world is there to join.
  static bool launched();

  explicit MpiSession(std::chrono::milliseconds deadline = std::chrono::minutes(1));
  // Finalises MPI; when leaving by an exception, doesn't, since that would wait for the other
  // ranks: the process is expected to exit with an error, upon which mpirun stops the others.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // All ranks of the job. The session outlives it and all its groups.
  std::unique_ptr<Comm> world();

 private:
  std::unique_ptr<MpiEngine> engine_;
  int exceptions_;  // in flight when this was made
};

}  // namespace katman
