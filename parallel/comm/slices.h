// What every communicator checks before tensors are gathered or scattered.
#pragma once

#include "core/comm.h"

namespace katman {

// Throws unless `all` is as many slices of the size and type of `mine` as the group has ranks.
inline void require_slices(const Comm& comm, const Tensor& mine, const Tensor& all,
                           const char* operation) {
  require(mine.dtype() == all.dtype() && mine.elements() * comm.size() == all.elements(),
          "{}: {} needs {} equal slices, not {} {} of {} {}", comm.name(), operation, comm.size(),
          name_of(mine.dtype()), to_string(mine.shape()), name_of(all.dtype()),
          to_string(all.shape()));
}

}  // namespace katman
