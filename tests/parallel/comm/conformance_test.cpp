#include <gtest/gtest.h>

#include "parallel/comm/staged.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/far_backend.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {

class CommConformance : public ::testing::TestWithParam<std::tuple<CommCase, int>> {};

TEST_P(CommConformance, holds_for_threads) {
  const auto& [property, ranks] = GetParam();
  run_ranks_on([] { return make_backend("reference"); }, ranks, property.run);
}

TEST_P(CommConformance, holds_for_threads_that_share_a_device) {
  const auto& [property, ranks] = GetParam();
  run_ranks_on([] { return make_far_backend("reference"); }, ranks, property.run);
}

TEST_P(CommConformance, holds_for_tensors_of_a_device_that_travel_through_the_host) {
  const auto& [property, ranks] = GetParam();
  run_ranks(ranks, [&](Comm& host) {
    const auto device = make_far_backend("reference");
    const auto staged =
        make_staged_comm(host.split(0, host.rank(), "staged world"), device->queue());
    property.run(*staged, *device);
  });
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
