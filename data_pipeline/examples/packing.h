// Short examples in common sequences: which of them share one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace katman {

// Examples of these lengths in sequences of at most `room` tokens each, which none exceeds: best
// fit, the longest first (at most 11/9 of the fewest sequences possible, and four; Johnson, 1974).
// [sequence][place], indices into lengths. O(n log n), a pure function.
std::vector<std::vector<int64_t>> pack(std::span<const int64_t> lengths, int64_t room);

}  // namespace katman
