#include "data_pipeline/tokenize/merges.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

#include "core/error.h"

namespace katman {

MergeTable::MergeTable(std::span<const Merge> merges) {
  require(merges.size() < max_rules, "a tokenizer has {} merges; at most {} are supported",
          merges.size(), max_rules - 1);
  const size_t size = std::bit_ceil(2 * merges.size() + 2);  // at most half full
  slots_.assign(size, empty);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
  for (const Merge& merge : merges) {
    const uint64_t pair = uint64_t{merge.left} << 21 | merge.right;
    size_t i = home(pair);
    while (slots_[i] != empty && slots_[i] >> 22 != pair) i = (i + 1) & mask_;
    slots_[i] = pair << 22 | results_.size();
    results_.push_back(merge.result);
  }
}

size_t MergeTable::apply(std::span<uint32_t> ids, Scratch& scratch) const {
  if (ids.size() < 2) return ids.size();
  return ids.size() <= short_piece ? apply_by_scan(ids) : apply_by_heap(ids, scratch);
}

// Looks at every pair for every merge, but a vector register of them at a time and without moving
// anything: a pair's key is its rank and its position in 30 bits, so one minimum gives both.
size_t MergeTable::apply_by_scan(std::span<uint32_t> ids) const {
  constexpr int32_t no_rule = INT32_MAX;
  static_assert(short_piece <= 255 && max_rules <= 1u << 22);
  const size_t n = ids.size();
  std::array<int32_t, short_piece> keys;               // [i] of ids[i] and its right neighbour
  std::array<uint8_t, short_piece + 1> before, after;  // neighbours; 0 and n stand for none
  const auto look_up = [&](size_t i) {
    const size_t right = after[i];
    const uint32_t r = right < n ? rank(ids[i], ids[right]) : none;
    keys[i] = r == none ? no_rule : static_cast<int32_t>(r << 8 | i);
  };
  for (size_t i = 0; i < n; ++i) {
    before[i] = static_cast<uint8_t>(i - (i > 0));
    after[i] = static_cast<uint8_t>(i + 1);
    look_up(i);
  }
  while (true) {
    int32_t best = no_rule;
    for (size_t i = 0; i < n; ++i) best = std::min(best, keys[i]);
    if (best == no_rule) break;
    const size_t at = best & 255, right = after[at];
    ids[at] = results_[static_cast<size_t>(best) >> 8];
    keys[right] = no_rule;
    after[at] = after[right];
    before[after[at]] = static_cast<uint8_t>(at);
    look_up(at);
    if (at > 0) look_up(before[at]);
  }
  size_t left = 0;
  for (size_t i = 0; i < n; i = after[i]) ids[left++] = ids[i];
  return left;
}

// O(n log n): a heap of (rank, position) over a linked list. An entry whose pair has changed since
// is recognised by its rank when it comes up.
size_t MergeTable::apply_by_heap(std::span<uint32_t> ids, Scratch& scratch) const {
  const size_t n = ids.size();
  require(n < none, "a piece of {} bytes without a break is too long to tokenize", n);
  auto& [before, after, heap] = scratch;
  before.resize(n);
  after.resize(n);
  heap.clear();
  for (uint32_t i = 0; i < n; ++i) {
    before[i] = i - 1;  // of the first: none
    after[i] = i + 1 < n ? i + 1 : none;
    if (after[i] == none) break;
    if (const uint32_t r = rank(ids[i], ids[i + 1]); r != none)
      heap.push_back(uint64_t{r} << 32 | i);
  }
  const auto later = std::greater<>();
  std::make_heap(heap.begin(), heap.end(), later);
  const auto offer = [&](uint32_t at) {
    const uint32_t r = rank(ids[at], ids[after[at]]);
    if (r == none) return;
    heap.push_back(uint64_t{r} << 32 | at);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  constexpr uint32_t gone = none;  // the id of a symbol that was merged into its left neighbour
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const auto r = static_cast<uint32_t>(heap.back() >> 32);
    const auto at = static_cast<uint32_t>(heap.back());
    heap.pop_back();
    if (ids[at] == gone || after[at] == none || rank(ids[at], ids[after[at]]) != r) continue;
    const uint32_t right = after[at];
    ids[at] = results_[r];
    ids[right] = gone;
    after[at] = after[right];
    if (after[at] != none) {
      before[after[at]] = at;
      offer(at);
    }
    if (before[at] != none) offer(before[at]);
  }
  return static_cast<size_t>(std::remove(ids.begin(), ids.end(), gone) - ids.begin());
}

}  // namespace katman
