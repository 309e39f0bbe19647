#include "data_pipeline/tokenize/merges.h"

#include <algorithm>
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
  constexpr size_t long_piece = 96;  // from about here on the heap wins
  if (ids.size() < 2) return ids.size();
  return ids.size() < long_piece ? apply_by_scan(ids, scratch) : apply_by_heap(ids, scratch);
}

// O(n^2) in theory, a few steps over two small arrays in practice.
size_t MergeTable::apply_by_scan(std::span<uint32_t> ids, Scratch& scratch) const {
  size_t n = ids.size();
  std::vector<uint32_t>& ranks = scratch.ranks;  // [i] of the pair (ids[i], ids[i + 1])
  ranks.resize(std::max(ranks.size(), n));
  for (size_t i = 0; i + 1 < n; ++i) ranks[i] = rank(ids[i], ids[i + 1]);
  ranks[n - 1] = none;
  while (true) {
    size_t at = 0;
    for (size_t i = 1; i < n; ++i)
      if (ranks[i] < ranks[at]) at = i;
    if (ranks[at] == none) return n;
    ids[at] = results_[ranks[at]];
    std::copy(&ids[at] + 2, &ids[0] + n, &ids[at] + 1);
    std::copy(&ranks[at] + 2, &ranks[0] + n, &ranks[at] + 1);
    --n;
    ranks[at] = at + 1 < n ? rank(ids[at], ids[at + 1]) : none;
    if (at > 0) ranks[at - 1] = rank(ids[at - 1], ids[at]);
  }
}

// O(n log n): a heap of (rank, position) over a linked list. An entry whose pair has changed since
// is recognised by its rank when it comes up.
size_t MergeTable::apply_by_heap(std::span<uint32_t> ids, Scratch& scratch) const {
  const size_t n = ids.size();
  require(n < none, "a piece of {} bytes without a break is too long to tokenize", n);
  auto& [unused, before, after, heap] = scratch;
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
