#include "orchestrator/launch/placement.h"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "core/error.h"

namespace katman {
namespace {

// "0", "0-3": of one axis, over ranks that stand next to each other on it.
std::string range(const Mesh& mesh, const NodePlan& node, int Place::*axis) {
  int low = mesh.size(), high = 0;
  for (const int rank : node.ranks()) {
    low = std::min(low, mesh.place(rank).*axis);
    high = std::max(high, mesh.place(rank).*axis);
  }
  return low == high ? std::to_string(low) : fmt::format("{}-{}", low, high);
}

// The i-th of all ranks, filled in.
int rank_in_order(const Mesh& mesh, int i) {
  return mesh.rank({.tp = i % mesh.tp, .dp = i / (mesh.tp * mesh.pp), .pp = i / mesh.tp % mesh.pp});
}

// Slots of a node in groups of `unit`.
int whole(const Node& node, int unit) { return node.slots / unit * unit; }

// The largest group of ranks that need not be cut.
int unit_that_fits(const Mesh& mesh, const std::vector<Node>& nodes) {
  for (const int unit : {mesh.tp * mesh.pp, mesh.tp}) {
    int fit = 0;
    for (const Node& node : nodes) fit += whole(node, unit);
    if (fit >= mesh.size()) return unit;
  }
  return 1;
}

}  // namespace

std::vector<NodePlan> place(const Mesh& mesh, const std::vector<Node>& nodes) {
  const int ranks = mesh.size();
  const auto slots = [](int sum, const Node& node) { return sum + node.slots; };
  const int all = std::accumulate(nodes.begin(), nodes.end(), 0, slots);
  require_usage(ranks <= all, "{} has {} ranks, and there are {} slots on {} nodes",
                to_string(mesh), ranks, all, nodes.size());
  const int unit = unit_that_fits(mesh, nodes);
  std::vector<NodePlan> plan;
  int next = 0;
  for (const Node& node : nodes) {
    const int takes = std::min(ranks - next, whole(node, unit));
    if (takes == 0) continue;
    NodePlan& here = plan.emplace_back();
    here.set_node(node.name);
    for (int i = 0; i < takes; ++i) here.add_ranks(rank_in_order(mesh, next++));
  }
  return plan;
}

std::vector<int> ranks_of_processes(const Mesh& mesh, const std::vector<std::string>& hosts) {
  std::vector<Node> nodes;
  for (const std::string& host : hosts) {
    const auto known = std::ranges::find(nodes, host, &Node::name);
    if (known == nodes.end())
      nodes.push_back({host, 1});
    else
      ++known->slots;
  }
  std::map<std::string, std::deque<int>> free;  // ranks that a host has still to deal
  for (const NodePlan& node : place(mesh, nodes))
    free[node.node()].assign(node.ranks().begin(), node.ranks().end());
  std::vector<int> ranks;
  for (const std::string& host : hosts) {
    ranks.push_back(free[host].front());
    free[host].pop_front();
  }
  return ranks;
}

std::string describe(const Mesh& mesh, const std::vector<NodePlan>& plan) {
  std::string text;
  std::vector<std::string> home(static_cast<size_t>(mesh.size()));  // [rank]
  for (const NodePlan& node : plan) {
    text += node.node() + ": ranks";
    for (const int rank : node.ranks()) {
      text += fmt::format(" {}", rank);
      home[static_cast<size_t>(rank)] = node.node();
    }
    text += fmt::format(" (tp {}, dp {}, pp {})\n", range(mesh, node, &Place::tp),
                        range(mesh, node, &Place::dp), range(mesh, node, &Place::pp));
  }
  for (int rank = 0; rank < mesh.size(); ++rank) {
    const Place at = mesh.place(rank);
    const int first = mesh.rank({0, at.dp, at.pp});
    if (home[static_cast<size_t>(rank)] == home[static_cast<size_t>(first)]) continue;
    text += "a tensor group spans nodes, which is slow: choose a smaller mesh.tp\n";
    break;
  }
  return text;
}

std::string as_comment(const std::string& lines) {
  std::string text;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    text += "# " + lines.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return text;
}

}  // namespace katman
