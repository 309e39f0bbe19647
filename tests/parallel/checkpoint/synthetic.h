// A made-up model whose every element knows its place: what a checkpoint gives back can be checked
// against a formula, whatever the layout.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/mesh.h"

namespace katman::testing {

// Element `index` (row-major in the whole tensor) of `what` of `name`, after `step` steps.
float synthetic_value(const std::string& name, Piece::What what, int64_t index, int64_t step);

// What rank `rank` of `mesh` holds, cut as a trainer cuts: tensors over pipeline stages, rows or
// columns over tensor ranks, and a flat slice of those per replica.
struct SyntheticState {
  // 1031 rows make the first tensor larger than a block of checksums.
  SyntheticState(const Mesh& mesh, int rank, Backend& backend, int64_t rows = 1031);

  void fill(int64_t step);
  void clear();
  // Elements that are not what they should be after `step` steps.
  int64_t wrong(int64_t step) const;

  std::vector<Piece> pieces;

 private:
  template <class Use>
  void for_each(const Use& use) const;
  Backend& backend_;
};

CheckpointInfo synthetic_info(int64_t step, const Mesh& mesh);

}  // namespace katman::testing
