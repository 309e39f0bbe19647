// Ranks that are threads of one process: for tests, debuggers and sanitizers.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/comm.h"

namespace katman {

// A world of ranks in one process, on host memory. Whoever arrives last at a collective carries it
// out for all, so transfers progress without help; a send completes when its receive is there,
// as strictly as MPI's synchronous mode, so that a program that needs buffering fails here.
// Every call is checked against its peers' operation, type and size; a mismatch throws on all.
class ThreadWorld {
 public:
  explicit ThreadWorld(int ranks, std::chrono::milliseconds deadline = std::chrono::minutes(1));

  // The communicator of one rank; each is asked for once and used by one thread.
  std::unique_ptr<Comm> comm(int rank);
  // Makes every wait in every group of this world throw at once: rank `rank` will not come.
  void abort(int rank, const std::string& why);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace katman
