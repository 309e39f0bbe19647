// Which rank does what: pure arithmetic on three numbers.
#pragma once

#include <string>

namespace katman {

// Where a rank stands along each axis of the mesh.
struct Place {
  int tp = 0, dp = 0, pp = 0;
  bool operator==(const Place&) const = default;
};

// How many ranks share a matrix (tp), replicate the model (dp) and split its layers (pp).
// rank = tp_index + tp * (dp_index + dp * pp_index): tp varies fastest, so that a tensor group
// stays inside one node.
struct Mesh {
  int tp = 1, dp = 1, pp = 1;

  int size() const { return tp * dp * pp; }
  Place place(int rank) const { return {rank % tp, rank / tp % dp, rank / (tp * dp)}; }
  int rank(Place at) const { return at.tp + tp * (at.dp + dp * at.pp); }
  bool operator==(const Mesh&) const = default;
};

// "tp=2 dp=1 pp=4"
std::string to_string(const Mesh& mesh);
// The same backwards, in any order; an axis that is not named is 1. Throws UsageError.
Mesh parse_mesh(const std::string& text);

}  // namespace katman
