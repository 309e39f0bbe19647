// A team of threads over a range.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace katman {

// Calls work(begin, end) for pieces that together are [0, count), one per thread at most and none
// smaller than `grain` (but the last). Which piece an element is in depends on `threads`: results
// must not depend on that.
template <class Work>
void parallel_ranges(int threads, int64_t count, int64_t grain, Work work) {
  const int64_t pieces = std::clamp<int64_t>(count / std::max<int64_t>(1, grain), 1, threads);
  if (pieces == 1) return count > 0 ? work(int64_t{0}, count) : void();
#pragma omp parallel for num_threads(static_cast<int>(pieces)) schedule(static, 1)
  for (int64_t piece = 0; piece < pieces; ++piece)
    work(count * piece / pieces, count * (piece + 1) / pieces);
}

// Calls work(item, thread) for each of `count` items of unequal size; thread < threads.
template <class Work>
void parallel_items(int threads, int64_t count, Work work) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1 && count > 1)
  for (int64_t item = 0; item < count; ++item) work(item, omp_get_thread_num());
}

}  // namespace katman
