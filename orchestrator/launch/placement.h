// Which rank runs where: pure arithmetic, shown before a run and used when it starts.
//
// Processes fill one node after the other, whoever starts them (mpirun by slots, srun by blocks).
// What is decided here is which rank of the mesh each of them is: a tensor group, which talks most,
// is next to itself, then come the stages of a pipeline in their order, and replicas, which talk
// once per step, are the furthest apart.
#pragma once

#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "proto/control.pb.h"

namespace katman {

struct Node {
  std::string name;
  int slots = 1;
};

// The rank of the i-th process.
int rank_of_process(const Mesh& mesh, int process);

// Where all ranks go. Leaves slots of a node free where a tensor group would not fit whole, unless
// there are not enough for that. Throws UsageError when there are fewer slots than ranks.
std::vector<NodePlan> place(const Mesh& mesh, const std::vector<Node>& nodes);

// One line per node: "node-1: ranks 0 1 (tp 0-1, dp 0, pp 0)"; and what is wrong with it, if
// anything is.
std::string describe(const Mesh& mesh, const std::vector<NodePlan>& plan);
// The same behind '#', to stand below a run file.
std::string as_comment(const std::string& lines);

}  // namespace katman
