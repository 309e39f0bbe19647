// Where the memory of every rank goes, for people to compare with what the layout promises.
#pragma once

#include <string>
#include <vector>

#include "core/comm.h"
#include "parallel/trainer.h"

namespace katman {

// A head and a line per rank, in MB: what was allocated, and in brackets what the layout promises.
// Of more ranks than fit a screen only those that hold the most and the least. Collective; the same
// on all ranks.
std::vector<std::string> memory_table(const Trainer& trainer, Backend& backend, Comm& world);

}  // namespace katman
