// A communicator that is watched does what it would do unwatched, and says what is waited for.
#include "parallel/comm/observed.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/backend.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {
using namespace std::chrono_literals;

TEST(Observed, has_every_property_of_a_communicator) {
  for (const CommCase& property : comm_cases())
    run_ranks(3, [&](Comm& world) {
      Waiting waiting;
      const auto backend = make_backend("reference");
      property.run(*observed(world, waiting), *backend);
      EXPECT_EQ(waiting.now().what, "") << property.name;
    });
}

TEST(Observed, names_the_operation_that_a_rank_stands_in_and_counts_the_time) {
  std::atomic<bool> seen = false;
  run_ranks(2, [&](Comm& world) {
    Waiting waiting;
    const auto comm = observed(world, waiting);
    const auto group = comm->split(0, world.rank(), "dp");
    const Tensor t = host_tensor({4}, DType::f32);
    if (world.rank() == 1) {
      while (!seen) std::this_thread::sleep_for(1ms);
      std::this_thread::sleep_for(100ms);
      group->all_reduce(t).wait();
      return;
    }
    std::jthread looks([&] {
      Waiting::Now now;
      while (now.what.empty()) now = waiting.now();
      EXPECT_EQ(now.what, "dp: all_reduce number 1");
      seen = true;
    });
    group->all_reduce(t).wait();
    looks.join();
    EXPECT_EQ(waiting.now().what, "");
    EXPECT_GE(waiting.take_s(), 0.1);
    EXPECT_EQ(waiting.take_s(), 0);
  });
}

}  // namespace
}  // namespace katman::testing
