#include "orchestrator/bench/bandwidth.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "core/backend.h"

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

// Eight independent sums keep as many loads under way as the core can.
uint64_t sum_words(const uint64_t* words, int64_t count) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i + 8 <= count; i += 8)
    for (int lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  uint64_t total = 0;
  for (const uint64_t sum : sums) total ^= sum;
  return total;
}

}  // namespace

double measured_read_bandwidth(int threads, double seconds, long bytes) {
  const int team =
      threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  // From a backend's pool, so that it lies as weights do (aligned, in huge pages).
  const auto backend = make_backend("reference");
  const Tensor memory = backend->zeros({bytes / 4}, DType::i32);
  const auto* words = reinterpret_cast<const uint64_t*>(memory.raw());
  const int64_t count = bytes / 8;
  std::vector<uint64_t> sums(static_cast<size_t>(team) * 8);  // [thread], a cache line each
  std::barrier together(team + 1);
  bool done = false;
  std::vector<std::jthread> readers;
  for (int t = 0; t < team; ++t)
    readers.emplace_back([&, t] {
      const int64_t begin = count * t / team, end = count * (t + 1) / team;
      while (together.arrive_and_wait(), !done) {
        sums[static_cast<size_t>(t) * 8] += sum_words(words + begin, end - begin);
        together.arrive_and_wait();
      }
    });
  double best = 1e30;
  const auto stop = Clock::now() + std::chrono::duration<double>(seconds);
  do {
    const auto begin = Clock::now();
    together.arrive_and_wait();
    together.arrive_and_wait();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  } while (Clock::now() < stop);
  done = true;
  together.arrive_and_wait();
  return static_cast<double>(bytes) / best;
}

}  // namespace katman
