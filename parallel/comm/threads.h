// Ranks that are threads of one process: for tests, debuggers and sanitizers.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/comm.h"
#include "core/device_queue.h"

namespace katman {

// A world of ranks in one process, on host memory or on one kind of device, which several ranks may
// share. Whoever arrives last at a collective carries it out for all, on its own queue behind the
// marks of the others', so transfers progress without help; a send completes when its receive is
// there, as strictly as MPI's synchronous mode, so that a program that needs buffering fails here.
// Every call is checked against its peers' operation, type and size; a mismatch throws on all.
class ThreadWorld {
 public:
  explicit ThreadWorld(int ranks, std::chrono::milliseconds deadline = std::chrono::minutes(1));

  // The communicator of one rank; each is asked for once and used by one thread. `queue` is that of
  // the tensors this rank will exchange, and outlives the communicator and its groups.
  std::unique_ptr<Comm> comm(int rank, DeviceQueue& queue = host_queue());
  // Makes every wait in every group of this world throw at once: rank `rank` will not come.
  void abort(int rank, const std::string& why);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace katman
