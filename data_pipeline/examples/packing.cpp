#include "data_pipeline/examples/packing.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "core/error.h"

namespace katman {

std::vector<std::vector<int64_t>> pack(std::span<const int64_t> lengths, int64_t room) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(),
                           [&](int64_t i) { return lengths[static_cast<size_t>(i)]; });
  std::vector<std::vector<int64_t>> sequences;
  std::set<std::pair<int64_t, size_t>> free;  // room left in a sequence that has some
  for (const int64_t i : order) {
    const int64_t length = lengths[static_cast<size_t>(i)];
    require(length <= room, "an example of {} tokens does not fit a sequence of {}", length, room);
    const auto best = free.lower_bound({length, 0});
    const bool fits = best != free.end();
    const size_t sequence = fits ? best->second : sequences.size();
    const int64_t left = (fits ? best->first : room) - length;
    if (fits)
      free.erase(best);
    else
      sequences.emplace_back();
    sequences[sequence].push_back(i);
    if (left > 0) free.insert({left, sequence});
  }
  return sequences;
}

}  // namespace katman
