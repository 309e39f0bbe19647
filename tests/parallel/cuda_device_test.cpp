// Ranks that share one CUDA device, each with its own stream: on an emulated device (see
// tests/emulated_cuda/cuda_runtime.h) and on a real one where there is one. Layouts give one rank's
// losses, checkpoints cross from the CPU and back, and communicators keep what they promise.
#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

std::unique_ptr<Backend> host_device() { return make_backend("reference"); }

class CudaDeviceTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const auto why = why_absent(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
  static MakeDevice device() {
    return [kind = GetParam()] { return test_backend(kind); };
  }
};

// Heads of 16: what kernels for tensor cores ask for.
TrainConfig run_of(const Mesh& mesh, const std::string& schedule, DType precision) {
  TrainConfig config = tiny_run(mesh, 4);
  config.model.hidden = 64;
  config.model.heads = 4;
  config.model.sequence = 16;
  config.batch_sequences = 4;
  config.schedule = schedule;
  config.chunks = schedule == "interleaved" ? 2 : 1;
  config.sequence_parallel = mesh.tp > 1;
  config.precision = precision;
  return config;
}

TEST_P(CudaDeviceTest, every_layout_gives_the_losses_of_one_rank_on_the_cpu) {
  constexpr int steps = 2;
  const std::vector<std::pair<Mesh, std::string>> layouts = {
      {{1, 1, 1}, "1f1b"},  {{2, 1, 1}, "1f1b"},        {{1, 2, 1}, "1f1b"},
      {{1, 1, 2}, "gpipe"}, {{1, 1, 2}, "interleaved"}, {{1, 1, 4}, "zero_bubble"},
      {{2, 2, 2}, "1f1b"}};
  const Trained one =
      train_on_threads(run_of({1, 1, 1}, "1f1b", DType::f32), steps, {}, host_device);
  for (const auto& [mesh, schedule] : layouts) {
    const TrainConfig config = run_of(mesh, schedule, DType::f32);
    expect_same_losses(train_on_threads(config, steps, {}, device()), one, 1e-4, repro(config));
  }
}

TEST_P(CudaDeviceTest, layouts_in_bf16_and_fp8_stay_near_the_cpus) {
  constexpr int steps = 2;
  for (const bool fp8 : {false, true})
    for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 1, 2}}) {
      TrainConfig config = run_of(mesh, "1f1b", DType::bf16);
      config.fp8 = fp8;
      TrainConfig alone = config;
      alone.mesh = {};
      alone.sequence_parallel = false;
      expect_same_losses(train_on_threads(config, steps, {}, device()),
                         train_on_threads(alone, steps, {}, host_device), 1e-2,
                         fmt::format("{} fp8={}", repro(config), fp8));
    }
}

TEST_P(CudaDeviceTest, checkpoints_cross_from_the_cpu_and_back_under_another_layout) {
  const TrainConfig alone = run_of({1, 1, 1}, "1f1b", DType::f32);
  const TrainConfig cut = run_of({2, 1, 2}, "1f1b", DType::f32);
  const Trained want = train_on_threads(alone, 6, {}, host_device);
  const TempDir directory;
  size_t step = 0;
  for (const auto& [config, where] :
       {std::pair(alone, MakeDevice(host_device)), {cut, device()}, {alone, host_device}}) {
    const auto from = static_cast<int64_t>(step);
    for (const double loss : go_on(config, where, directory.path(), from, from + 2)) {
      EXPECT_NEAR(loss, want.reports[step].loss, 1e-4 * loss) << "step " << step;
      ++step;
    }
  }
  EXPECT_EQ(step, 6u);
}

TEST_P(CudaDeviceTest, ranks_that_share_it_have_every_property_of_communicators) {
  for (const CommCase& property : comm_cases())
    for (const int ranks : {1, 2, 3, 8}) {
      SCOPED_TRACE(fmt::format("{} on {}", property.name, ranks));
      run_ranks_on(device(), ranks, property.run);
    }
}

INSTANTIATE_TEST_SUITE_P(all, CudaDeviceTest, ::testing::Values("emulated", "cuda:0"),
                         [](const auto& info) {
                           return info.param == "emulated" ? "emulated" : "cuda_0";
                         });

}  // namespace
}  // namespace katman::testing
