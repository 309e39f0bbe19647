// The trainer's count of every pair of neighbouring tokens.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace katman {

// Counts by pair (left << 32 | right): open addressing, at most half full, grows only.
class PairMap {
 public:
  struct Info {
    uint64_t pair = none;
    int64_t count = 0;   // occurrences, as far as they have been updated
    uint32_t round = 0;  // the merge that last made the pair occur somewhere new ...
    uint32_t list = 0;   // ... and the list of the words in which it did
  };

  // The entry of `pair`, made if it is not there. Valid until the next call.
  Info& operator[](uint64_t pair) {
    if (2 * (used_ + 1) > slots_.size()) grow();
    Info& info = slots_[place(pair)];
    if (info.pair == none) {
      info.pair = pair;
      ++used_;
    }
    return info;
  }

 private:
  static constexpr uint64_t none = UINT64_MAX;

  size_t place(uint64_t pair) const {
    const uint64_t mixed = (pair ^ pair >> 29) * 0x9e3779b97f4a7c15ull;
    size_t i = mixed >> (64 - std::countr_zero(slots_.size()));
    while (slots_[i].pair != none && slots_[i].pair != pair) i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  void grow() {
    std::vector<Info> old(2 * slots_.size());
    old.swap(slots_);
    for (const Info& info : old)
      if (info.pair != none) slots_[place(info.pair)] = info;
  }

  std::vector<Info> slots_ = std::vector<Info>(size_t{1} << 16);
  size_t used_ = 0;
};

}  // namespace katman
