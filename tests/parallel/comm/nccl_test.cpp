// NcclComm's own part (queues, marks, slices, sums, deadlines) against an NCCL between threads; the
// library itself is met in tests/gpu.
#include "parallel/comm/nccl.h"

#include <gtest/gtest.h>

#include "tests/parallel/comm/fake_nccl.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/far_backend.h"
#include "tests/support/ranks.h"
#include "tests/support/throws.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {
using namespace std::chrono_literals;

// fn on n ranks with a far device each, over NCCL.
void run_ranks_over_nccl(int n, const std::function<void(Comm&, Backend&)>& fn,
                         std::chrono::milliseconds deadline = 20s) {
  use_nccl(fake_nccl());
  run_ranks(n, [&](Comm& host) {
    const auto device = make_far_backend("reference");
    const auto world = make_nccl_comm(host.split(0, host.rank(), "nccl world"), device->queue(),
                                      device->pool(), deadline);
    fn(*world, *device);
  });
}

class NcclConformance : public ::testing::TestWithParam<std::tuple<CommCase, int>> {};

TEST_P(NcclConformance, holds) {
  const auto& [property, ranks] = GetParam();
  run_ranks_over_nccl(ranks, property.run);
}

INSTANTIATE_TEST_SUITE_P(fake, NcclConformance,
                         ::testing::Combine(::testing::ValuesIn(comm_cases()),
                                            ::testing::Values(2, 3, 8)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_on_" +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST(NcclComm, trains_to_the_bits_of_ranks_that_share_a_host) {
  for (const auto& [mesh, schedule] : {std::pair(Mesh{2, 1, 2}, "1f1b"),
                                       {Mesh{1, 2, 2}, "zero_bubble"},
                                       {Mesh{2, 2, 1}, "1f1b"}}) {
    TrainConfig config = tiny_run(mesh, 4);
    config.schedule = schedule;
    config.sequence_parallel = mesh.tp > 1;
    const Trained want = train_on_threads(config, 3);
    run_ranks_over_nccl(mesh.size(), [&](Comm& world, Backend& device) {
      Trainer trainer(config, device, world, tiny_samples);
      for (const StepReport& report : want.reports)
        require(trainer.step({}).loss == report.loss, "another loss in step {} of {}", report.step,
                repro(config));
    });
  }
}

TEST(NcclComm, a_rank_that_does_not_come_ends_the_wait_of_the_others_and_is_told_of) {
  run_ranks_over_nccl(
      3,
      [](Comm& world, Backend& device) {
        if (world.rank() == 1) return std::this_thread::sleep_for(1500ms);
        const Tensor t = device.zeros({100}, DType::f32);
        // The call or the device would never come back: the watchman of one of us ends it.
        EXPECT_TRUE(fails_with("nccl world: all_reduce number 0", [&] {
          world.all_reduce(t).wait();
          device.sync();
          world.all_reduce(t).wait();
        }));
      },
      300ms);
}

TEST(NcclComm, a_receive_without_its_send_fails_after_the_deadline) {
  run_ranks_over_nccl(
      2,
      [](Comm& world, Backend& device) {
        const Tensor t = device.zeros({100}, DType::f32);
        if (world.rank() == 0) {
          world.send(t, 1).wait();
          device.sync();
        } else {
          world.recv(t, 0).wait();
          world.recv(t, 0).wait();
          device.sync();
          EXPECT_TRUE(fails_with("waited 300 ms", [&] { world.recv(t, 0).wait(); }));
        }
        std::this_thread::sleep_for(100ms);
      },
      300ms);
}

}  // namespace
}  // namespace katman::testing
