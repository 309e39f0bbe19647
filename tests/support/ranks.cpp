#include "tests/support/ranks.h"

#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "parallel/comm/threads.h"

namespace katman::testing {

void run_ranks(int n, const std::function<void(Comm&)>& fn, std::chrono::milliseconds deadline) {
  ThreadWorld world(n, deadline);
  std::mutex mutex;
  std::exception_ptr first;
  const auto rank_main = [&](int rank) {
    try {
      fn(*world.comm(rank));
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

}  // namespace katman::testing
