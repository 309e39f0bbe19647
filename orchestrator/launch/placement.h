// Which rank runs where: pure arithmetic, shown before a run and used when it starts.
//
// How many processes a node gets, the launcher says; which rank of the mesh each of them is, the
// processes find out from where they are, so that it is the same whoever dealt them out, in blocks
// or in turn. A tensor group, which talks most, is next to itself, then come the stages of a
// pipeline in their order, and replicas, which talk once per step, are the furthest apart.
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

// Where all ranks go, filling one node after the other. Leaves slots of a node free where a
// pipeline would not fit whole; if there are not enough slots for that, where a tensor group would
// not; else uses them all. Throws UsageError when there are fewer slots than ranks.
std::vector<NodePlan> place(const Mesh& mesh, const std::vector<Node>& nodes);

// The rank of each process, from the names of the hosts that they are on: as place() has it, the
// nodes in the order of their first processes. [process]
std::vector<int> ranks_of_processes(const Mesh& mesh, const std::vector<std::string>& hosts);

// One line per node: "node-1: ranks 0 1 (tp 0-1, dp 0, pp 0)"; and what is wrong with it, if
// anything is.
std::string describe(const Mesh& mesh, const std::vector<NodePlan>& plan);
// The same behind '#', to stand below a run file.
std::string as_comment(const std::string& lines);

}  // namespace katman
