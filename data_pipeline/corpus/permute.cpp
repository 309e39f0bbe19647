#include "data_pipeline/corpus/permute.h"

#include <bit>

#include "core/error.h"

namespace katman {

uint64_t permute(uint64_t i, uint64_t n, Key key) {
  require(i < n, "sample {} is outside the {} samples that are being ordered", i, n);
  const int half_bits = std::max(1, (static_cast<int>(std::bit_width(n - 1)) + 1) / 2);
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  constexpr uint64_t rounds = 6;
  do {
    uint64_t left = i >> half_bits, right = i & mask;
    for (uint64_t round = 0; round < rounds; ++round) {
      const uint64_t mixed = random_bits(key.at(round), right) & mask;
      const uint64_t next = left ^ mixed;
      left = right;
      right = next;
    }
    i = (left << half_bits) | right;
  } while (i >= n);
  return i;
}

}  // namespace katman
