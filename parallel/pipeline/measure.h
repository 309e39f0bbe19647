// What a schedule really takes: the real loop over stages that only take time.
#pragma once

#include "parallel/pipeline/simulate.h"

namespace katman {

// Runs a schedule of compute actions on one thread per rank through the real transfers and the real
// loop, with stages that sleep for their costs.
Timeline measure(const Schedule& compute, int micros, const Costs& costs);

// The costs that a measured timeline had: means by action, and each stage's factor. Beside
// simulate(compute_of(timeline), costs_of(timeline)) a measured timeline shows what waiting and
// transfers have cost.
Costs costs_of(const Timeline& measured);
Schedule compute_of(const Timeline& timeline);

}  // namespace katman
