// The merge rules of a byte-pair encoding, and the one algorithm that applies them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace katman {

// "left next to right becomes result". A rule's rank is its place in the list: lower goes first.
struct Merge {
  uint32_t left, right, result;
  bool operator==(const Merge&) const = default;
};

// A list of merges, indexed by pair. Immutable. A pair that is listed twice keeps its last rank, as
// in Hugging Face `tokenizers`.
class MergeTable {
 public:
  static constexpr uint32_t none = UINT32_MAX;
  static constexpr uint32_t max_ids = 1u << 21;    // ids of the tokens are below this
  static constexpr uint32_t max_rules = 1u << 22;  // and there are fewer rules than this

  explicit MergeTable(std::span<const Merge> merges);

  // The rank of the rule for `left` next to `right`, or none.
  uint32_t rank(uint32_t left, uint32_t right) const {
    const uint64_t pair = uint64_t{left} << 21 | right;
    for (size_t i = home(pair);; i = (i + 1) & mask_) {
      if (slots_[i] >> 22 == pair) return static_cast<uint32_t>(slots_[i]) & (max_rules - 1);
      if (slots_[i] == empty) return none;
    }
  }
  uint32_t result(uint32_t rank) const { return results_[rank]; }

  // Working memory of apply(), kept between calls so that they need not allocate.
  struct Scratch {
    std::vector<uint32_t> before, after;
    std::vector<uint64_t> heap;
  };
  // Applies the rules to `ids` until none fits: always the one of lowest rank, of these the
  // leftmost. Returns how many ids are left, at the front of `ids`. At most 2^32 - 1 ids.
  size_t apply(std::span<uint32_t> ids, Scratch& scratch) const;

 private:
  static constexpr uint64_t empty = UINT64_MAX;
  size_t home(uint64_t pair) const { return (pair * 0x9e3779b97f4a7c15ull) >> shift_; }

  static constexpr size_t short_piece = 160;  // ids; above it the heap is faster
  size_t apply_by_scan(std::span<uint32_t> ids) const;
  size_t apply_by_heap(std::span<uint32_t> ids, Scratch& scratch) const;

  std::vector<uint64_t> slots_;    // open addressing: left:21 right:21 rank:22, 8 bytes a rule
  std::vector<uint32_t> results_;  // [rank]
  size_t mask_;
  int shift_;
};

}  // namespace katman
