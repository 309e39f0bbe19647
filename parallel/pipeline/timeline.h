// What ranks did, or would do, and when.
#pragma once

#include <vector>

#include "parallel/pipeline/schedule.h"

namespace katman {

// One action from start to end, in seconds since the step began. The span of a receive is the time
// that its rank stood waiting for it.
struct Span {
  Action action;
  double start_s = 0, end_s = 0;
};

struct Timeline {
  std::vector<std::vector<Span>> ranks;  // [pipeline rank]

  double makespan_s() const;  // end of the last span
  // The part of ranks * makespan in which no compute action ran.
  double bubble() const;
};

}  // namespace katman
