// Everything outside the backends is clean of devices: on memory that the host must not touch, with
// operations that are done later, a run computes what it computes on the host, to the bit.
#include <gtest/gtest.h>

#include "core/model/generate.h"
#include "parallel/comm/alone.h"
#include "tests/support/far_backend.h"
#include "tests/support/model.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

std::unique_ptr<Backend> near_device() { return make_backend("reference"); }
std::unique_ptr<Backend> far_device() { return make_far_backend("reference"); }

TrainConfig config_of(const Mesh& mesh, const std::string& schedule, DType precision) {
  TrainConfig config = tiny_run(mesh, 4);
  config.schedule = schedule;
  config.chunks = schedule == "interleaved" ? 2 : 1;
  config.sequence_parallel = mesh.tp > 1;
  config.precision = precision;
  config.recompute = mesh.dp > 1 ? Recompute::full : Recompute::selective;
  config.model.dropout = 0.1f;
  return config;
}

TEST(FarDevice, trains_to_the_same_bits_under_every_layout) {
  const std::vector<std::pair<Mesh, std::string>> layouts = {{{1, 1, 1}, "1f1b"},
                                                             {{2, 1, 1}, "gpipe"},
                                                             {{1, 3, 1}, "1f1b"},
                                                             {{1, 1, 4}, "zero_bubble"},
                                                             {{2, 2, 2}, "interleaved"}};
  for (const DType precision : {DType::f32, DType::bf16})
    for (const auto& [mesh, schedule] : layouts) {
      const TrainConfig config = config_of(mesh, schedule, precision);
      const Trained near = train_on_threads(config, 3, {}, near_device);
      const Trained far = train_on_threads(config, 3, {}, far_device);
      std::string worst;
      EXPECT_EQ(distance(far, near, worst), 0) << worst << " of " << repro(config);
      for (size_t step = 0; step < near.reports.size(); ++step)
        EXPECT_EQ(far.reports[step].loss, near.reports[step].loss) << "step " << step;
    }
}

TEST(FarDevice, a_run_crosses_from_the_host_to_the_device_and_back) {
  for (const DType precision : {DType::f32, DType::bf16}) {
    const TrainConfig config = config_of({2, 1, 2}, "1f1b", precision);
    std::vector<double> want;
    for (const auto& report : train_on_threads(config, 6).reports) want.push_back(report.loss);
    const TempDir directory;
    std::vector<double> got;
    for (const auto& [device, from, to] :
         {std::tuple(&near_device, 0, 2), std::tuple(&far_device, 2, 4),
          std::tuple(&near_device, 4, 6)})
      for (const double loss : go_on(config, *device, directory.path(), from, to))
        got.push_back(loss);
    EXPECT_EQ(got, want) << name_of(precision);
  }
}

TEST(FarDevice, validates_and_generates_as_the_host_does) {
  const TrainConfig config = config_of({1, 1, 1}, "1f1b", DType::f32);
  std::vector<double> losses;
  std::vector<std::vector<int32_t>> texts;
  for (const auto& make_device : {near_device, far_device}) {
    const auto backend = make_device();
    const auto comm = make_comm_of_one(backend->queue(), "alone");
    Trainer trainer(config, *backend, *comm, tiny_samples);
    losses.push_back(trainer.validate(tiny_samples, 100, 5));

    const ModelContext context{*backend, *comm, DType::f32, false, Key(3)};
    Params params;
    GptStage stage(config.model, {0, config.model.layers, true, true}, context, params);
    params.allocate(*backend, DType::f32, 1 << 20, 16);
    params.initialise(*backend, Key(3));
    Reader reader(config.model, {&stage}, context, *comm);
    const Prompt prompt{.ids = {1, 2, 3}, .sampling = {.seed = 5}, .most = 12};
    std::vector<int32_t>& text = texts.emplace_back();
    generate(reader, {&prompt, 1}, -1, 1,
             {[&](size_t, const Drawn& drawn) { return text.push_back(drawn.id), true; }});
  }
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_FALSE(texts[0].empty());
}

TEST(FarDevice, a_host_that_reads_its_memory_crashes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const auto backend = far_device();
        const Tensor t = backend->zeros({4}, DType::f32);
        backend->sync();
        std::exit(t.data<float>()[0] == 0 ? 0 : 1);
      },
      "");
}

}  // namespace
}  // namespace katman::testing
