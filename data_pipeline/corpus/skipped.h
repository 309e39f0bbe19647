// Samples that a run leaves out: the data that a loss spike came from, say.
#pragma once

#include <cstdint>
#include <vector>

namespace katman {

// A run counts its samples 0, 1, 2... and trains on the corpus's samples in their shuffled order,
// without those of some ranges. Which sample the n-th is, is a function of n and the set of ranges
// alone: neither the order in which ranges were added nor interruptions matter, and a range that
// lies ahead changes nothing about samples before it.
class Skipped {
 public:
  // Leaves [first, first + count) out as well; ranges may overlap.
  void add(uint64_t first, uint64_t count);
  // The n-th sample that is left in.
  uint64_t nth(uint64_t n) const;

  struct Range {
    uint64_t first, end;
    bool operator==(const Range&) const = default;
  };
  const std::vector<Range>& ranges() const { return ranges_; }  // sorted, apart from each other

 private:
  std::vector<Range> ranges_;
};

}  // namespace katman
