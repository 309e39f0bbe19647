// The order of training samples, as a function instead of a table.
#pragma once

#include <cstdint>

#include "core/random.h"

namespace katman {

// Where `i` goes under a pseudo-random permutation of [0, n) named by `key`. O(1) memory and time.
//
// A balanced Feistel network (Luby and Rackoff, 1988) over the smallest even number of bits that
// holds n, walked along its cycle until the result is below n (Black and Rogaway, "Ciphers with
// arbitrary finite domains", 2002); fewer than 4 walks are expected. Requires i < n.
uint64_t permute(uint64_t i, uint64_t n, Key key);

}  // namespace katman
