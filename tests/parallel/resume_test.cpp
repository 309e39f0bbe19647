// A run that is interrupted goes on as if it had not been, on the same layout and on any other.
#include <gtest/gtest.h>

#include "parallel/checkpoint/checkpoint.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

constexpr int before = 3, after = 3;

struct Layout {
  Mesh mesh;
  std::string schedule;
  bool sequence_parallel;

  TrainConfig config(DType precision) const {
    TrainConfig config = tiny_run(mesh, 4);
    config.schedule = schedule;
    config.chunks = schedule == "interleaved" ? 2 : 1;
    config.sequence_parallel = sequence_parallel;
    config.precision = precision;
    return config;
  }
};

const std::vector<Layout> layouts = {
    {{1, 1, 1}, "1f1b", false},        {{2, 1, 1}, "1f1b", true},  {{1, 3, 1}, "1f1b", false},
    {{1, 1, 4}, "zero_bubble", false}, {{2, 1, 2}, "1f1b", false}, {{2, 2, 2}, "interleaved", true},
};

void save(const Layout& layout, DType precision, const std::filesystem::path& directory) {
  run_ranks(layout.mesh.size(), [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(layout.config(precision), *backend, world, tiny_samples);
    for (int step = 0; step < before; ++step) trainer.step({});
    CheckpointStore store(directory, {}, *backend, world);
    CheckpointInfo info;
    info.step = trainer.next_step();
    info.model = trainer.config().model;
    info.mesh = layout.mesh;
    store.save(info, trainer.optimizer().pieces());
    require(store.finish(), "the checkpoint was not committed");
  });
}

std::vector<double> go_on(const Layout& layout, DType precision,
                          const std::filesystem::path& directory) {
  std::vector<double> losses;
  run_ranks(layout.mesh.size(), [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(layout.config(precision), *backend, world, tiny_samples);
    const auto checkpoint = find_checkpoint(directory);
    load_checkpoint(checkpoint, trainer.optimizer().pieces(), *backend);
    trainer.resume(read_checkpoint_info(checkpoint).step);
    for (int step = 0; step < after; ++step) {
      const double loss = trainer.step({}).loss;
      if (world.rank() == 0) losses.push_back(loss);
    }
  });
  return losses;
}

std::vector<double> uninterrupted(const Layout& layout, DType precision) {
  std::vector<double> losses;
  for (const auto& report : train_on_threads(layout.config(precision), before + after).reports)
    losses.push_back(report.loss);
  return {losses.begin() + before, losses.end()};
}

TEST(Resume, on_any_other_layout_losses_go_on_as_if_never_stopped) {
  const auto want = uninterrupted(layouts[0], DType::f32);
  for (const Layout& from : layouts) {
    const TempDir directory;
    save(from, DType::f32, directory.path());
    for (const Layout& to : layouts) {
      const auto got = go_on(to, DType::f32, directory.path());
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_NEAR(got[i], want[i], 1e-5 * want[i])
            << "step " << before + i << " from " << to_string(from.mesh) << " to "
            << to_string(to.mesh);
    }
  }
}

TEST(Resume, on_the_same_layout_losses_are_the_same_to_the_bit) {
  for (const DType precision : {DType::f32, DType::bf16})
    for (const Layout& layout : layouts) {
      const TempDir directory;
      save(layout, precision, directory.path());
      EXPECT_EQ(go_on(layout, precision, directory.path()), uninterrupted(layout, precision))
          << to_string(layout.mesh) << " in " << name_of(precision);
    }
}

}  // namespace
}  // namespace katman::testing
