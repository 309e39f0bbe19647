// A GPU against the CPU: whole runs, and NCCL. Skipped, and counted as skipped, where there is no
// GPU. Layouts and checkpoints are in tests/parallel/cuda_device_test.cpp.
#include <gtest/gtest.h>

#include "orchestrator/doctor/host.h"
#include "parallel/comm/nccl.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/ranks.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

std::unique_ptr<Backend> host_device() { return make_backend("cpu", 2); }
std::unique_ptr<Backend> gpu() { return make_backend("cuda:0"); }

class Gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (usable_cuda_devices() == 0) GTEST_SKIP() << "no CUDA device";
  }
};

// Heads of 16 and round extents: what kernels for tensor cores ask for.
TrainConfig run_of(DType precision) {
  TrainConfig config = tiny_run({}, 4);
  config.model.hidden = 128;
  config.model.heads = 8;
  config.model.sequence = 64;
  config.precision = precision;
  return config;
}

TEST_F(Gpu, fifty_steps_in_fp32_equal_the_cpus) {
  const TrainConfig config = run_of(DType::f32);
  expect_same_losses(train_on_threads(config, 50, {}, gpu),
                     train_on_threads(config, 50, {}, host_device), 1e-4, repro(config));
}

TEST_F(Gpu, steps_in_bf16_stay_near_the_cpus) {
  const TrainConfig config = run_of(DType::bf16);
  expect_same_losses(train_on_threads(config, 50, {}, gpu),
                     train_on_threads(config, 50, {}, host_device), 1e-2, repro(config));
}

TEST_F(Gpu, steps_in_fp8_stay_near_the_cpus) {
  TrainConfig config = run_of(DType::bf16);
  config.fp8 = true;
  expect_same_losses(train_on_threads(config, 50, {}, gpu),
                     train_on_threads(config, 50, {}, host_device), 2e-2, repro(config));
}

TEST_F(Gpu, a_run_is_the_same_to_the_bit_twice) {
  for (const DType precision : {DType::f32, DType::bf16}) {
    const TrainConfig config = run_of(precision);
    const Trained once = train_on_threads(config, 5, {}, gpu);
    std::string worst;
    EXPECT_EQ(distance(train_on_threads(config, 5, {}, gpu), once, worst), 0) << worst;
  }
}

TEST_F(Gpu, nccl_with_as_many_ranks_as_devices_has_them_too) {
  const std::string objection = why_no_nccl();
  if (!objection.empty()) GTEST_SKIP() << objection;
  const int devices = usable_cuda_devices();
  for (int ranks = 1; ranks <= devices; ranks *= 2)
    for (const CommCase& property : comm_cases()) {
      SCOPED_TRACE(fmt::format("{} on {}", property.name, ranks));
      run_ranks(ranks, [&](Comm& host) {
        const auto device = make_backend(fmt::format("cuda:{}", host.rank()));
        const auto nccl = make_nccl_comm(host.split(0, host.rank(), "nccl world"), device->queue(),
                                         device->pool(), std::chrono::seconds(30));
        property.run(*nccl, *device);
      });
    }
}

}  // namespace
}  // namespace katman::testing
