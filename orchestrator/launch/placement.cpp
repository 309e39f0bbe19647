#include "orchestrator/launch/placement.h"

#include <algorithm>
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

}  // namespace

int rank_of_process(const Mesh& mesh, int process) {
  return mesh.rank({.tp = process % mesh.tp,
                    .dp = process / (mesh.tp * mesh.pp),
                    .pp = process / mesh.tp % mesh.pp});
}

std::vector<NodePlan> place(const Mesh& mesh, const std::vector<Node>& nodes) {
  const int ranks = mesh.size();
  const auto slots = [](int sum, const Node& node) { return sum + node.slots; };
  const int all = std::accumulate(nodes.begin(), nodes.end(), 0, slots);
  require_usage(ranks <= all, "{} has {} ranks, and there are {} slots on {} nodes",
                to_string(mesh), ranks, all, nodes.size());
  const auto whole = [&](const Node& node) { return node.slots / mesh.tp * mesh.tp; };
  int fit_whole = 0;
  for (const Node& node : nodes) fit_whole += whole(node);
  std::vector<NodePlan> plan;
  int process = 0;
  for (const Node& node : nodes) {
    if (process == ranks) break;
    const int takes = std::min(ranks - process, fit_whole >= ranks ? whole(node) : node.slots);
    if (takes == 0) continue;
    NodePlan& here = plan.emplace_back();
    here.set_node(node.name);
    for (int i = 0; i < takes; ++i) here.add_ranks(rank_of_process(mesh, process++));
  }
  return plan;
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
