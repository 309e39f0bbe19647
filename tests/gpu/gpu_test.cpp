// A GPU against the CPU: whole runs, layouts that share one device, checkpoints that cross.
// Skipped, and counted as skipped, where there is no GPU.
#include <gtest/gtest.h>

#include "orchestrator/doctor/host.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/comm/nccl.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_dir.h"
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
TrainConfig run_of(const Mesh& mesh, const std::string& schedule, DType precision) {
  TrainConfig config = tiny_run(mesh, 4);
  config.model.hidden = 128;
  config.model.heads = 8;
  config.model.sequence = 64;
  config.schedule = schedule;
  config.chunks = schedule == "interleaved" ? 2 : 1;
  config.sequence_parallel = mesh.tp > 1;
  config.precision = precision;
  return config;
}

void expect_same_losses(const Trained& a, const Trained& b, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(a.reports.size(), b.reports.size());
  for (size_t step = 0; step < b.reports.size(); ++step)
    EXPECT_NEAR(a.reports[step].loss, b.reports[step].loss, tolerance * b.reports[step].loss)
        << "step " << step << ", " << what;
}

TEST_F(Gpu, fifty_steps_in_fp32_equal_the_cpus) {
  const TrainConfig config = run_of({1, 1, 1}, "1f1b", DType::f32);
  expect_same_losses(train_on_threads(config, 50, {}, gpu),
                     train_on_threads(config, 50, {}, host_device), 1e-4, repro(config));
}

TEST_F(Gpu, steps_in_bf16_stay_near_the_cpus) {
  const TrainConfig config = run_of({1, 1, 1}, "1f1b", DType::bf16);
  expect_same_losses(train_on_threads(config, 50, {}, gpu),
                     train_on_threads(config, 50, {}, host_device), 1e-2, repro(config));
}

TEST_F(Gpu, a_run_is_the_same_to_the_bit_twice) {
  for (const DType precision : {DType::f32, DType::bf16}) {
    const TrainConfig config = run_of({1, 1, 1}, "1f1b", precision);
    const Trained once = train_on_threads(config, 5, {}, gpu);
    std::string worst;
    EXPECT_EQ(distance(train_on_threads(config, 5, {}, gpu), once, worst), 0) << worst;
  }
}

TEST_F(Gpu, every_layout_on_one_device_gives_one_ranks_losses) {
  const Trained one = train_on_threads(run_of({1, 1, 1}, "1f1b", DType::f32), 5, {}, gpu);
  const std::vector<std::pair<Mesh, std::string>> layouts = {
      {{2, 1, 1}, "1f1b"},        {{1, 2, 1}, "1f1b"},        {{1, 1, 2}, "gpipe"},
      {{1, 1, 2}, "interleaved"}, {{1, 1, 4}, "zero_bubble"}, {{2, 2, 2}, "1f1b"}};
  for (const auto& [mesh, schedule] : layouts) {
    const TrainConfig config = run_of(mesh, schedule, DType::f32);
    expect_same_losses(train_on_threads(config, 5, {}, gpu), one, 1e-4, repro(config));
  }
}

std::vector<double> go_on(const TrainConfig& config, const MakeDevice& device,
                          const std::filesystem::path& directory, int64_t steps) {
  std::vector<double> losses;
  run_ranks_on(device, 1, [&](Comm& world, Backend& backend) {
    Trainer trainer(config, backend, world, tiny_samples);
    CheckpointStore store(directory, {}, backend, world);
    if (const auto info = store.resume(trainer.optimizer().pieces())) trainer.resume(info->step);
    for (int64_t step = 0; step < steps; ++step) losses.push_back(trainer.step({}).loss);
    CheckpointInfo info;
    info.step = trainer.next_step();
    info.model = config.model;
    store.save(info, trainer.optimizer().pieces());
    require(store.finish(), "the checkpoint was not committed");
  });
  return losses;
}

TEST_F(Gpu, checkpoints_cross_from_the_cpu_to_the_gpu_and_back) {
  const TrainConfig config = run_of({1, 1, 1}, "1f1b", DType::f32);
  const Trained want = train_on_threads(config, 6, {}, host_device);
  const TempDir directory;
  size_t step = 0;
  for (const MakeDevice& device :
       {MakeDevice(host_device), MakeDevice(gpu), MakeDevice(host_device)})
    for (const double loss : go_on(config, device, directory.path(), 2)) {
      EXPECT_NEAR(loss, want.reports[step].loss, 1e-4 * loss) << "step " << step;
      ++step;
    }
}

TEST_F(Gpu, ranks_that_share_it_have_every_property_of_communicators) {
  for (const CommCase& property : comm_cases())
    for (const int ranks : {1, 2, 3, 8}) {
      SCOPED_TRACE(fmt::format("{} on {}", property.name, ranks));
      run_ranks_on(gpu, ranks, property.run);
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
