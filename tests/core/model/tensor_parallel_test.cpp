// The same model cut over tensor ranks: losses and gradients are one rank's, up to the rounding of
// sums taken in another order.
#include <gtest/gtest.h>

#include "tests/support/model.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {

// A sum of n fp32 terms regrouped moves by about sqrt(n) * 2^-24 of its size; the deepest here has
// some hundred terms, and layers amplify a little.
constexpr double rounding = 1e-5;

void expect_same(const StepResult& parts, const StepResult& whole, const std::string& what) {
  EXPECT_NEAR(parts.loss, whole.loss, rounding * whole.loss) << what;
  ASSERT_EQ(parts.grads.size(), whole.grads.size()) << what;
  for (const auto& [name, grad] : whole.grads)
    EXPECT_LT(distance(parts.grads.at(name), grad), rounding) << what << ": " << name;
}

TEST(TensorParallel, any_number_of_ranks_gives_one_ranks_gradients) {
  for (const bool tied : {true, false}) {
    for (const float dropout : {0.0f, 0.2f}) {
      GptConfig config = little_gpt();
      config.tied_embedding = tied;
      config.dropout = dropout;
      const Batch batch = random_batch(config, 2, 8);
      const StepResult whole = step_alone(config, batch);
      for (const int tp : {1, 2, 4})
        for (const bool sequence_parallel : {false, true})
          expect_same(step_on_ranks(tp, config, batch, {.sequence_parallel = sequence_parallel}),
                      whole,
                      fmt::format("tp {}, sequence parallel {}, tied {}, dropout {}", tp,
                                  sequence_parallel, tied, dropout));
    }
  }
}

TEST(TensorParallel, two_ranks_give_one_ranks_gradients_for_every_shape) {
  for (auto [name, config] : little_models())
    for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      config.dropout = recompute == Recompute::selective ? 0.2f : 0.0f;
      const Batch batch = random_batch(config, 2, 8);
      const StepResult whole = step_alone(config, batch);
      for (const bool sequence_parallel : {false, true})
        expect_same(step_on_ranks(2, config, batch,
                                  {.recompute = recompute, .sequence_parallel = sequence_parallel}),
                    whole, fmt::format("{}, sequence parallel {}", name, sequence_parallel));
    }
}

TEST(TensorParallel, recomputation_gives_one_ranks_gradients_too) {
  GptConfig config = little_gpt();
  config.dropout = 0.2f;
  const Batch batch = random_batch(config, 2, 8);
  const StepResult whole = step_alone(config, batch);
  for (const auto recompute : {Recompute::selective, Recompute::full})
    for (const bool sequence_parallel : {false, true})
      expect_same(step_on_ranks(2, config, batch,
                                {.recompute = recompute, .sequence_parallel = sequence_parallel}),
                  whole, fmt::format("sequence parallel {}", sequence_parallel));
}

TEST(TensorParallel, every_rank_knows_the_same_loss_and_the_whole_logits) {
  const GptConfig config = little_gpt();
  const Batch batch = random_batch(config, 1, 8);
  const auto tp = alone();
  Model whole(config, *tp);
  Tape quiet(batch.micro, false);
  const Values expected =
      read(*whole.backend,
           whole.stage.logits(whole.stage.forward(make_ids(*whole.backend, batch.ids), quiet)));
  const double loss = whole.step(batch);
  ASSERT_EQ(expected.size(), 8u * 37u);
  for (const int ranks : {2, 4}) {
    run_ranks(ranks, [&](Comm& world) {
      Model model(config, world);
      Tape tape(batch.micro, false);
      const Tensor h = model.stage.forward(make_ids(*model.backend, batch.ids), tape);
      EXPECT_LT(distance(read(*model.backend, model.stage.logits(h)), expected), rounding);
      EXPECT_NEAR(model.step(batch), loss, rounding * loss);
    });
  }
}

TEST(TensorParallel, rows_that_ranks_do_not_divide_are_refused) {
  const GptConfig config = little_gpt();
  const Batch batch = random_batch(config, 1, 7);
  EXPECT_THROW(step_on_ranks(2, config, batch, {.sequence_parallel = true}), Error);
}

TEST(TensorParallel, each_rank_remembers_its_share) {
  GptConfig config = little_gpt();
  config.layers = 6;
  config.hidden = 64;
  const Batch batch = random_batch(config, 2, 8);
  const auto remembered = [&](int ranks) {
    int64_t bytes = 0;
    run_ranks(ranks, [&](Comm& world) {
      Model model(config, world, {.sequence_parallel = true});
      const int64_t before = model.backend->pool().usage().in_use_bytes;
      Tape tape(batch.micro);
      model.stage.forward(make_ids(*model.backend, batch.ids), tape);
      if (world.rank() == 0) bytes = model.backend->pool().usage().in_use_bytes - before;
    });
    return static_cast<double>(bytes);
  };
  EXPECT_LT(remembered(4), 0.3 * remembered(1));
}

}  // namespace
}  // namespace katman::testing
