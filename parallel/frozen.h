// The weights that a run leaves as they are.
#pragma once

#include <vector>

#include "core/params.h"
#include "parallel/checkpoint/piece.h"
#include "parallel/groups.h"

namespace katman {

// This rank's frozen weights as fp32 masters that have memory of their own, as they were
// initialised: to be loaded into, and to be saved.
std::vector<Piece> frozen_pieces(const Params& params, Backend& backend, const Groups& groups,
                                 Key seed);
// Frozen values become those pieces, rounded to their type.
void set_frozen(Params& params, Backend& backend, const std::vector<Piece>& pieces);

}  // namespace katman
