#include "tests/support/ranks.h"

#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "parallel/comm/threads.h"

namespace katman::testing {

namespace {

// Calls act for every rank, each on a thread; see run_ranks about errors.
void on_threads(int n, std::chrono::milliseconds deadline,
                const std::function<void(ThreadWorld&, int rank)>& act) {
  ThreadWorld world(n, deadline);
  std::mutex mutex;
  std::exception_ptr first;
  const auto rank_main = [&](int rank) {
    try {
      act(world, rank);
    } catch (const std::exception& error) {
      {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
      world.abort(rank, error.what());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < n; ++rank) threads.emplace_back(rank_main, rank);
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace

void run_ranks(int n, const std::function<void(Comm&)>& fn, std::chrono::milliseconds deadline) {
  on_threads(n, deadline, [&](ThreadWorld& world, int rank) { fn(*world.comm(rank)); });
}

void run_ranks_on(const MakeDevice& make_device, int n,
                  const std::function<void(Comm&, Backend&)>& fn,
                  std::chrono::milliseconds deadline) {
  on_threads(n, deadline, [&](ThreadWorld& world, int rank) {
    const auto device = make_device();
    fn(*world.comm(rank, device->queue()), *device);
  });
}

}  // namespace katman::testing
