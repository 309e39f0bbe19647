// Adapters under every layout; what is frozen stays, costs nothing, and is not saved twice.
#include <gtest/gtest.h>

#include <mutex>

#include "parallel/frozen.h"
#include "tests/support/ranks.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

TrainConfig lora_run(const Mesh& mesh = {}) {
  TrainConfig config = tiny_run(mesh, 4);
  config.lora = {.rank = 2, .alpha = 8, .on = {"qkv", "proj", "up", "down"}};
  return config;
}

TEST(LoraTraining, every_layout_gives_one_ranks_adapters) {
  constexpr int steps = 3;
  const Trained one = train_on_threads(lora_run(), steps);
  EXPECT_LT(one.reports.back().loss, one.reports.front().loss);
  for (const auto& [name, values] : one.state)
    EXPECT_TRUE(name.find(".lora_") != std::string::npos) << name;
  EXPECT_EQ(one.state.size(), 4u * 4 * 2 * 3);  // layers, matrices, factors, master and moments
  for (const Mesh mesh :
       {Mesh{2, 1, 1}, Mesh{1, 3, 1}, Mesh{1, 1, 2}, Mesh{2, 2, 2}, Mesh{4, 1, 1}})
    for (const bool split : {false, true}) {
      if (split && mesh.tp == 1) continue;
      TrainConfig config = lora_run(mesh);
      config.sequence_parallel = split;
      config.schedule = mesh.pp > 1 && split ? "zero_bubble" : "1f1b";
      const Trained many = train_on_threads(config, steps);
      std::string worst;
      EXPECT_LT(distance(many, one, worst), 1e-5) << worst << " with " << repro(config);
    }
}

TEST(LoraTraining, the_first_loss_is_the_bases_own) {
  TrainConfig whole = lora_run();
  whole.lora = {};
  EXPECT_EQ(train_on_threads(lora_run(), 1).reports[0].loss,
            train_on_threads(whole, 1).reports[0].loss);
}

TEST(LoraTraining, frozen_weights_do_not_move_and_have_neither_gradients_nor_moments) {
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(lora_run(), *backend, world, tiny_samples);
    const auto values = [&] {
      std::map<std::string, std::vector<float>> found;
      for (const Param& param : trainer.params().all()) {
        if (!param.frozen) continue;
        auto& host = found[param.name];
        host.resize(static_cast<size_t>(param.value.elements()));
        backend->download(param.value, host.data());
      }
      return found;
    };
    const auto before = values();
    for (int step = 0; step < 3; ++step) trainer.step({});
    EXPECT_EQ(values(), before);
    const auto memory = trainer.memory();
    EXPECT_LT(memory[1].allocated_bytes, memory[0].allocated_bytes / 2);  // gradients, weights
    EXPECT_LT(memory[2].allocated_bytes, memory[0].allocated_bytes);      // both moments
    EXPECT_EQ(memory[1].promised_bytes, 4 * trainer.params().trained_elements());
  });
}

TEST(LoraTraining, frozen_pieces_cover_every_frozen_element_once) {
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 2, 2}}) {
    std::mutex mutex;
    std::map<std::string, int64_t> owned, elements;
    run_ranks(mesh.size(), [&](Comm& world) {
      const auto backend = make_backend("reference");
      Trainer trainer(lora_run(mesh), *backend, world, tiny_samples);
      const auto pieces =
          frozen_pieces(trainer.params(), *backend, trainer.groups(), Key(trainer.config().seed));
      const std::lock_guard lock(mutex);
      for (const Piece& piece : pieces) {
        elements[piece.name] = piece.global.elements();
        if (piece.owned) owned[piece.name] += piece.box.elements();
      }
    });
    EXPECT_EQ(owned, elements) << to_string(mesh);
    EXPECT_GT(owned.size(), 4u * 12);
  }
}

}  // namespace
}  // namespace katman::testing
