// Who else is on this rank's machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/comm.h"

namespace katman {

// A rank among those of its machine, in the order of the world.
struct LocalPlace {
  int rank = 0, ranks = 1;
};
LocalPlace local_place(Comm& world);  // collective, over host memory

// A number for each rank of the world, on every rank: of a text that each brings. Equal texts have
// equal numbers. Collective, over host memory.
std::vector<int64_t> exchange_fingerprints(Comm& world, const std::string& mine);

}  // namespace katman
