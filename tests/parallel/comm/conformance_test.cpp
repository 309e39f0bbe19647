#include <gtest/gtest.h>

#include "tests/support/comm_conformance.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {

class CommConformance : public ::testing::TestWithParam<std::tuple<CommCase, int>> {};

TEST_P(CommConformance, holds_for_threads) {
  const auto& [property, ranks] = GetParam();
  run_ranks(ranks, property.run);
}

INSTANTIATE_TEST_SUITE_P(threads, CommConformance,
                         ::testing::Combine(::testing::ValuesIn(comm_cases()),
                                            ::testing::Values(1, 2, 3, 8)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_on_" +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace katman::testing
