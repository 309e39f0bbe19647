// Ranks to slots.
#include "orchestrator/launch/placement.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/support/throws.h"

namespace katman::testing {
namespace {

using Homes = std::map<int, std::string>;  // [rank]

Homes homes(const std::vector<NodePlan>& plan) {
  Homes homes;
  for (const NodePlan& node : plan)
    for (const int rank : node.ranks()) EXPECT_TRUE(homes.emplace(rank, node.node()).second);
  return homes;
}

std::vector<Node> nodes(int count, int slots) {
  std::vector<Node> nodes;
  for (int i = 0; i < count; ++i) nodes.push_back({"n" + std::to_string(i), slots});
  return nodes;
}

// Hosts of processes that are dealt out to `nodes` in turn, or one node after the other.
std::vector<std::string> hosts_of(int processes, int nodes, bool in_turn) {
  std::vector<std::string> hosts;
  for (int i = 0; i < processes; ++i)
    hosts.push_back("n" + std::to_string(in_turn ? i % nodes : i * nodes / processes));
  return hosts;
}

TEST(Placement, every_process_is_one_rank) {
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 3, 4}, Mesh{4, 1, 2}, Mesh{1, 5, 3}})
    for (int nodes = 1; nodes <= mesh.size(); ++nodes)
      for (const bool in_turn : {false, true}) {
        const auto ranks = ranks_of_processes(mesh, hosts_of(mesh.size(), nodes, in_turn));
        EXPECT_EQ(std::set(ranks.begin(), ranks.end()).size(), static_cast<size_t>(mesh.size()));
        EXPECT_EQ(ranks[0], 0);
      }
}

TEST(Placement, however_processes_were_dealt_out_a_rank_is_on_the_same_node) {
  const Mesh mesh{.tp = 2, .dp = 2, .pp = 4};
  const Homes planned = homes(place(mesh, nodes(4, 4)));
  for (const bool in_turn : {false, true}) {
    const auto hosts = hosts_of(16, 4, in_turn);
    const auto ranks = ranks_of_processes(mesh, hosts);
    for (size_t process = 0; process < 16; ++process)
      EXPECT_EQ(hosts[process], planned.at(ranks[process])) << "process " << process;
  }
}

TEST(Placement, a_pipeline_is_not_cut_where_there_is_room) {
  const Mesh mesh{.tp = 1, .dp = 4, .pp = 3};
  for (const NodePlan& node : place(mesh, nodes(4, 4))) EXPECT_EQ(node.ranks_size(), 3);
  const auto full = place(mesh, nodes(3, 4));
  ASSERT_EQ(full.size(), 3u);
  for (const NodePlan& node : full) EXPECT_EQ(node.ranks_size(), 4);
}

TEST(Placement, a_tensor_group_stays_on_a_node_and_a_pipeline_as_close_as_it_can) {
  const Mesh mesh{.tp = 2, .dp = 2, .pp = 4};
  const Homes at = homes(place(mesh, nodes(4, 4)));
  ASSERT_EQ(at.size(), 16u);
  int crossings = 0;
  for (int dp = 0; dp < mesh.dp; ++dp)
    for (int pp = 0; pp < mesh.pp; ++pp) {
      EXPECT_EQ(at.at(mesh.rank({0, dp, pp})), at.at(mesh.rank({1, dp, pp})));
      if (pp > 0) crossings += at.at(mesh.rank({0, dp, pp})) != at.at(mesh.rank({0, dp, pp - 1}));
    }
  EXPECT_EQ(crossings, 2) << "one per pipeline: two stages on each node";
  EXPECT_NE(at.at(mesh.rank({0, 0, 0})), at.at(mesh.rank({0, 1, 0}))) << "replicas are apart";
}

TEST(Placement, slots_stay_free_rather_than_cutting_a_tensor_group) {
  const Mesh mesh{.tp = 4, .dp = 2, .pp = 1};
  const auto plan = place(mesh, nodes(2, 6));
  EXPECT_EQ(plan[0].ranks_size(), 4);
  EXPECT_EQ(describe(mesh, plan),
            "n0: ranks 0 1 2 3 (tp 0-3, dp 0, pp 0)\n"
            "n1: ranks 4 5 6 7 (tp 0-3, dp 1, pp 0)\n");
  const auto cut = place(mesh, nodes(3, 3));
  EXPECT_NE(describe(mesh, cut).find("a tensor group spans nodes"), std::string::npos);
}

TEST(Placement, too_few_slots_are_refused) {
  EXPECT_TRUE(fails_with("8 ranks, and there are 6 slots on 2 nodes", [] {
    place({2, 2, 2}, nodes(2, 3));
  }));
}

}  // namespace
}  // namespace katman::testing
