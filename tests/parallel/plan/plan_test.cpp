#include "parallel/plan/plan.h"

#include <gtest/gtest.h>

#include <mutex>

#include "core/model/presets.h"
#include "tests/support/throws.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

// What the pools of the ranks of each stage measured in real steps: the most of any.
std::vector<Pool::Usage> measured(const TrainConfig& config, const std::string& kind) {
  std::vector<Pool::Usage> most(static_cast<size_t>(config.mesh.pp));
  std::mutex mutex;
  run_ranks_on([&] { return make_backend(kind, 1); }, config.mesh.size(),
               [&](Comm& world, Backend& backend) {
                 Trainer trainer(config, backend, world, tiny_samples);
                 trainer.validate(tiny_samples, 0, config.batch_sequences);
                 backend.pool().reset_peak();
                 for (int step = 0; step < 2; ++step) trainer.step({});
                 const auto usage = backend.pool().usage();
                 const std::lock_guard lock(mutex);
                 auto& stage = most[static_cast<size_t>(trainer.groups().place.pp)];
                 stage.peak_bytes = std::max(stage.peak_bytes, usage.peak_bytes);
                 stage.held_bytes = std::max(stage.held_bytes, usage.held_bytes);
               });
  return most;
}

void expect_close(const TrainConfig& config, const std::string& kind, double tolerance) {
  const auto plan = plan_run(config, kind);
  const auto real = measured(config, kind);
  ASSERT_EQ(plan.size(), real.size());
  for (size_t stage = 0; stage < plan.size(); ++stage) {
    const auto peak = static_cast<double>(real[stage].peak_bytes);
    const auto held = static_cast<double>(real[stage].held_bytes);
    EXPECT_NEAR(static_cast<double>(plan[stage].peak), peak, tolerance * peak)
        << "stage " << stage << " on " << kind << ": " << repro(config);
    EXPECT_NEAR(static_cast<double>(plan[stage].held), held, tolerance * held)
        << "stage " << stage << " on " << kind << ": " << repro(config);
  }
}

TrainConfig config_of(const Mesh& mesh, const std::string& schedule, Recompute recompute,
                      DType precision) {
  TrainConfig config = tiny_run(mesh, 4);
  config.model.hidden = 64;
  config.model.sequence = 32;
  config.model.dropout = 0.1f;
  config.schedule = schedule;
  config.chunks = schedule == "interleaved" ? 2 : 1;
  config.sequence_parallel = mesh.tp > 1;
  config.recompute = recompute;
  config.precision = precision;
  config.micro_batch = 2;
  config.batch_sequences = 16;
  return config;
}

const std::vector<TrainConfig>& several_runs() {
  static const std::vector<TrainConfig> runs = {
      config_of({1, 1, 1}, "1f1b", Recompute::none, DType::f32),
      config_of({1, 1, 1}, "1f1b", Recompute::selective, DType::bf16),
      config_of({1, 1, 1}, "1f1b", Recompute::full, DType::bf16),
      config_of({2, 1, 1}, "1f1b", Recompute::none, DType::bf16),
      config_of({1, 3, 1}, "1f1b", Recompute::none, DType::bf16),
      config_of({1, 1, 4}, "gpipe", Recompute::none, DType::f32),
      config_of({1, 1, 4}, "zero_bubble", Recompute::selective, DType::bf16),
      config_of({2, 2, 2}, "interleaved", Recompute::full, DType::f32),
  };
  return runs;
}

// The reference backend takes no memory for itself: what is promised is what is taken.
TEST(Plan, promises_to_the_byte_what_the_reference_backend_measures) {
  for (const TrainConfig& config : several_runs()) expect_close(config, "reference", 0);
}

TEST(Plan, a_real_model_on_the_fast_backend_takes_what_was_promised_within_a_tenth) {
  for (const auto& [recompute, precision] :
       {std::pair(Recompute::none, DType::bf16), {Recompute::full, DType::f32}}) {
    TrainConfig config = config_of({1, 1, 1}, "1f1b", recompute, precision);
    config.model = gpt_preset("tiny");
    config.model.hidden = 256;
    config.model.vocabulary = 4000;
    config.model.sequence = 128;
    config.batch_sequences = 4;
    expect_close(config, "cpu", 0.1);
  }
}

TEST(Plan, stages_share_the_weights_and_every_part_is_counted_once) {
  const auto whole = plan_run(config_of({1, 1, 1}, "1f1b", Recompute::none, DType::bf16), "cpu");
  const auto parts = plan_run(config_of({1, 1, 4}, "1f1b", Recompute::none, DType::bf16), "cpu");
  int64_t weights = 0;
  for (const StagePlan& stage : parts) {
    weights += stage.weights;
    EXPECT_EQ(stage.peak, stage.weights + stage.gradients + stage.optimizer + stage.packed +
                              stage.logits + stage.activations);
    EXPECT_GE(stage.held, stage.peak);
  }
  EXPECT_GE(weights, whole[0].weights);                        // the tied embedding is held twice
  EXPECT_GT(parts.front().activations, parts[2].activations);  // 1F1B: earlier stages hold more
  EXPECT_EQ(parts.front().logits, 0);
  EXPECT_GT(parts.back().logits, 0);
}

TEST(Plan, a_run_that_does_not_fit_is_refused_with_the_nearest_that_does) {
  const TrainConfig config = config_of({1, 1, 1}, "1f1b", Recompute::none, DType::bf16);
  const int64_t needed = needed_bytes(plan_run(config, "cuda:0"), false);
  require_fit(config, "cuda:0", needed, "cuda:0");
  EXPECT_TRUE(fails_with("--set data.micro_batch=1",
                         [&] { require_fit(config, "cuda:0", needed - 1, "cuda:0"); }));

  TrainConfig least = config;
  least.micro_batch = 1;
  const int64_t of_least = needed_bytes(plan_run(least, "cuda:0"), false);
  const auto recomputing = nearest_that_fits(config, "cuda:0", of_least - 1);
  ASSERT_TRUE(recomputing);
  EXPECT_NE(recomputing->change.find("mesh.recompute="), std::string::npos) << recomputing->change;
  EXPECT_LT(recomputing->bytes, of_least);
  EXPECT_EQ(needed_bytes(plan_run(recomputing->config, "cuda:0"), false), recomputing->bytes);

  EXPECT_TRUE(fails_with("smaller model", [&] { require_fit(config, "cuda:0", 1000, "cuda:0"); }));
}

TEST(Plan, effort_is_the_models_flops_and_recomputation_beside_them) {
  TrainConfig config = config_of({1, 1, 1}, "1f1b", Recompute::none, DType::bf16);
  const double tokens = static_cast<double>(config.batch_sequences * config.model.sequence);
  const auto plain = plan_run(config, "cpu")[0].step;
  // Attention computes its scores again in every backward pass, and spare rows count as work.
  const double model = tokens * config.model.flops_per_token();
  EXPECT_GT(plain.product_flops, model);
  EXPECT_LT(plain.product_flops, 1.3 * model);
  config.recompute = Recompute::full;
  EXPECT_GT(plan_run(config, "cpu")[0].step.product_flops, 1.15 * plain.product_flops);
}

TEST(Plan, a_bubble_costs_time_and_zero_bubble_costs_less) {
  const DeviceSpeed speed{1e9, 1e9};
  const auto time = [&](const Mesh& mesh, const char* schedule) {
    const TrainConfig config = config_of(mesh, schedule, Recompute::none, DType::bf16);
    return estimate_step(config, plan_run(config, "cpu"), speed);
  };
  EXPECT_EQ(time({1, 1, 1}, "1f1b").bubble, 0);
  EXPECT_GT(time({1, 1, 4}, "1f1b").bubble, 0.1);
  EXPECT_LT(time({1, 1, 4}, "zero_bubble").seconds, time({1, 1, 4}, "1f1b").seconds);
  EXPECT_LT(time({1, 1, 4}, "1f1b").seconds, time({1, 1, 1}, "1f1b").seconds);
}

}  // namespace
}  // namespace katman::testing
