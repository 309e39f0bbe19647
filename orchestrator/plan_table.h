// A plan as people read it.
#pragma once

#include <string>
#include <vector>

#include "parallel/plan/plan.h"

namespace katman {

// A head and a line per stage, in GB of one rank.
std::vector<std::string> plan_table(const std::vector<StagePlan>& plan);

}  // namespace katman
