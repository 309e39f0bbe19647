// The other ranks of a rehearsal: none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/comm.h"
#include "parallel/groups.h"

namespace katman {

// Bytes that one rank would have sent, by the cheapest algorithm that is known for each operation
// (Thakur et al., 2005): 2 (p-1)/p of an all_reduce, (p-1)/p of a gather or a scatter.
struct Traffic {
  double tp_bytes = 0, dp_bytes = 0, pp_bytes = 0;
};

// The world of rank `rank` in a mesh, in which every exchange is done at once and moves nothing.
// `traffic` outlives both.
std::unique_ptr<Comm> rehearsal_world(const Mesh& mesh, int rank);
Groups rehearsal_groups(const Mesh& mesh, int rank, Traffic& traffic);

}  // namespace katman
