// Ranks that share one CUDA device, each with its own stream: on an emulated device (see
// tests/emulated_cuda/cuda_runtime.h) and on a real one where there is one. Layouts give one rank's
// losses, checkpoints cross from the CPU and back, and communicators keep what they promise.
#include <gtest/gtest.h>

#include "parallel/comm/alone.h"
#include "parallel/plan/plan.h"
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

// Beside what the trainer asks for, which is planned to the byte, the device's own operations take
// the workspace of products and scratch that is small against what they work on.
TEST_P(CudaDeviceTest, the_plan_says_what_a_run_takes_from_it) {
  constexpr int64_t workspace = 32 << 20;
  for (const Recompute recompute : {Recompute::none, Recompute::full}) {
    TrainConfig config = run_of({1, 1, 1}, "1f1b", DType::bf16);
    config.recompute = recompute;
    config.micro_batch = 2;
    const StagePlan plan = plan_run(config, "cuda:0").at(0);
    const auto backend = device()();
    const auto world = make_comm_of_one(backend->queue(), "world");
    Trainer trainer(config, *backend, *world, tiny_samples);
    trainer.validate(tiny_samples, 0, config.batch_sequences);
    for (int step = 0; step < 2; ++step) trainer.step({});
    const auto took = backend->pool().usage();
    EXPECT_GE(took.held_bytes, plan.held) << repro(config);
    EXPECT_LE(took.held_bytes, workspace + plan.held * 5 / 4) << repro(config);
  }
}

// A launch costs the host microseconds: with 40 of them the host is ahead of the device wherever a
// layer computes for longer than a fraction of a millisecond, and a graph of them would gain
// nothing.
TEST_P(CudaDeviceTest, a_layer_is_forty_launches_at_the_most) {
  const auto activities = [&](int64_t layers) {
    TrainConfig config = run_of({1, 1, 1}, "1f1b", DType::bf16);
    config.model.layers = layers;
    config.micro_batch = config.batch_sequences;
    config.bucket_elements = 4 << 20;
    const auto backend = device()();
    const auto world = make_comm_of_one(backend->queue(), "world");
    Trainer trainer(config, *backend, *world, tiny_samples);
    trainer.step({});  // plans products
    const CudaLibrary library = cuda_library(GetParam());
    library.start_trace();
    trainer.step({});
    // cuBLASLt may cut the sum of a product into several and add them up in a kernel of its own.
    return std::ranges::count_if(library.finish_trace(), [](const CudaActivity& activity) {
      return activity.name.find("splitK") == std::string::npos;
    });
  };
  if (const auto why = why_no_trace(GetParam()); !why.empty()) GTEST_SKIP() << why;
  const int64_t two = activities(2), four = activities(4);
  EXPECT_GT(two, 0);
  EXPECT_LE(four - two, 2 * 40);
}

TEST_P(CudaDeviceTest, a_steps_timeline_is_the_devices) {
  TrainConfig config = run_of({1, 1, 1}, "1f1b", DType::bf16);
  config.micro_batch = 1;
  const auto backend = device()();
  const auto world = make_comm_of_one(backend->queue(), "world");
  Trainer trainer(config, *backend, *world, tiny_samples);
  // One rank waits for nobody; but what runs this test may.
  bool mostly_computes = false;
  for (int step = 0; step < 2 || (step < 20 && !mostly_computes); ++step) {
    trainer.step({});
    double reached = 0, computed = 0;
    for (const Span& span : trainer.timeline()) {
      EXPECT_GE(span.start_s, reached);
      EXPECT_GE(span.end_s, span.start_s);
      reached = span.end_s;
      if (is_compute(span.action.what)) computed += span.end_s - span.start_s;
    }
    mostly_computes = computed > reached / 2;
  }
  EXPECT_TRUE(mostly_computes);
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
