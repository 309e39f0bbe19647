// One value from every rank, for decisions that all must take alike.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/comm.h"

namespace katman {

// Collective. What every rank gave. [rank]
std::vector<int64_t> gather(Comm& comm, Backend& backend, int64_t mine);
std::vector<std::string> gather(Comm& comm, Backend& backend, const std::string& mine);

}  // namespace katman
