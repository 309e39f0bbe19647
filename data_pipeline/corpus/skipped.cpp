#include "data_pipeline/corpus/skipped.h"

#include <algorithm>

namespace katman {

void Skipped::add(uint64_t first, uint64_t count) {
  if (count == 0) return;
  ranges_.push_back({first, first + count});
  std::ranges::sort(ranges_, {}, &Range::first);
  std::vector<Range> merged;
  for (const Range& range : ranges_) {
    if (merged.empty() || merged.back().end < range.first)
      merged.push_back(range);
    else
      merged.back().end = std::max(merged.back().end, range.end);
  }
  ranges_ = std::move(merged);
}

uint64_t Skipped::nth(uint64_t n) const {
  for (const Range& range : ranges_) {
    if (n < range.first) break;
    n += range.end - range.first;
  }
  return n;
}

}  // namespace katman
