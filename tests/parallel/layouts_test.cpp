// The heart of it: the same run, cut over any number of ranks, gives the same model.
#include <gtest/gtest.h>

#include "tests/support/model.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

// In fp32 a layout changes only the order in which products and gradients are added. Every sum here
// has at most a few hundred terms of either sign, so the error of one is a few units in the last
// place (6e-8) of its largest partial sum; 1e-5 of a tensor's largest element leaves room for the
// depth of the model and the steps it is carried through.
constexpr double bound = 1e-5;

std::vector<Mesh> meshes(int most) {
  std::vector<Mesh> all;
  for (int tp = 1; tp <= most; tp *= 2)
    for (int dp = 1; tp * dp <= most; ++dp)
      for (int pp = 1; tp * dp * pp <= most; ++pp) all.push_back({tp, dp, pp});
  return all;
}

// After one step from zero the first moment is the gradient times a constant, so comparing it
// compares every parameter's gradient.
void expect_one_ranks_run(const TrainConfig& config, const Trained& one, int steps) {
  const Trained many = train_on_threads(config, steps);
  for (int step = 0; step < steps; ++step) {
    const auto& a = many.reports[static_cast<size_t>(step)];
    const auto& b = one.reports[static_cast<size_t>(step)];
    EXPECT_NEAR(a.loss, b.loss, bound * b.loss) << repro(config) << " step " << step;
    EXPECT_NEAR(a.grad_norm, b.grad_norm, bound * b.grad_norm) << repro(config);
    EXPECT_EQ(a.tokens, b.tokens) << repro(config);
  }
  std::string worst;
  EXPECT_LT(distance(many, one, worst), bound) << worst << " with " << repro(config);
}

struct Kind {
  std::string schedule;
  int chunks;
};
const std::vector<Kind> kinds = {
    {"gpipe", 1}, {"1f1b", 1}, {"interleaved", 2}, {"zero_bubble", 1}, {"zero_bubble_h2", 1}};

// Sequence parallelism both ways wherever there is one, recomputation in turn.
class EveryLayout : public ::testing::TestWithParam<Kind> {};

TEST_P(EveryLayout, of_up_to_eight_ranks_gives_one_ranks_losses_gradients_and_values) {
  const auto& [schedule, chunks] = GetParam();
  constexpr int steps = 20;
  const Trained first = train_on_threads(tiny_run(), 1), last = train_on_threads(tiny_run(), steps);
  EXPECT_LT(last.reports.back().loss, 0.9 * last.reports.front().loss);  // it does learn
  int turn = 0;
  for (const Mesh mesh : meshes(8))
    for (const bool split : {false, true}) {
      if (mesh.pp * chunks > 8 || (split && mesh.tp == 1)) continue;
      TrainConfig config = tiny_run(mesh);
      config.schedule = schedule;
      config.chunks = chunks;
      config.sequence_parallel = split;
      config.recompute = static_cast<Recompute>(turn++ % 3);
      expect_one_ranks_run(config, first, 1);
      expect_one_ranks_run(config, last, steps);
    }
  EXPECT_GT(turn, 30);
}
INSTANTIATE_TEST_SUITE_P(, EveryLayout, ::testing::ValuesIn(kinds), [](const auto& info) {
  return (info.param.schedule[0] == '1' ? "one_f_one_b" : info.param.schedule);
});

TEST(Layouts, numbers_of_ranks_that_are_no_powers_of_two_give_one_ranks_gradients) {
  for (const int tp : {3, 5, 6, 7}) {
    TrainConfig base = tiny_run({}, 4);
    base.model.heads = tp;
    base.model.hidden = 2 * tp;
    base.model.sequence = 2 * tp;  // for sequence parallelism; no tp divides the vocabulary
    const Trained one = train_on_threads(base, 3);
    for (const Mesh mesh : {Mesh{tp, 1, 1}, Mesh{tp, tp == 3 ? 2 : 1, 1}, Mesh{tp, 1, 2}})
      for (const bool split : {false, true}) {
        if (mesh.size() > 8) continue;
        TrainConfig config = base;
        config.mesh = mesh;
        config.sequence_parallel = split;
        expect_one_ranks_run(config, one, 3);
      }
  }
}

TEST(Layouts, recomputation_changes_nothing_on_any_schedule) {
  const Trained one = train_on_threads(tiny_run(), 1);
  for (const Recompute recompute : {Recompute::selective, Recompute::full})
    for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 1, 4}, Mesh{4, 2, 1}, Mesh{1, 2, 2}})
      for (const auto& [schedule, chunks] : kinds) {
        TrainConfig config = tiny_run(mesh);
        config.schedule = schedule;
        config.chunks = chunks;
        config.recompute = recompute;
        config.sequence_parallel = mesh.tp > 1;
        expect_one_ranks_run(config, one, 1);
      }
}

// The shapes of tests/support/model.h, in the size of tiny_run: four tensor ranks fit them.
TEST(Layouts, models_of_every_shape_give_one_ranks_gradients_and_values) {
  for (const auto& [name, shape] : little_models()) {
    SCOPED_TRACE(name);
    TrainConfig base = tiny_run();
    const GptConfig size = base.model;
    base.model = shape;
    base.model.layers = size.layers;
    base.model.heads = size.heads;
    base.model.sequence = size.sequence;
    if (shape.kv_groups) base.model.kv_groups = 4, base.model.feed_forward = 64;
    const Trained one = train_on_threads(base, 2);
    const std::vector<std::pair<Mesh, Kind>> layouts = {
        {{2, 1, 1}, {"1f1b", 1}},        {{4, 1, 1}, {"1f1b", 1}},  {{1, 1, 4}, {"zero_bubble", 1}},
        {{2, 1, 2}, {"interleaved", 2}}, {{1, 3, 2}, {"gpipe", 1}}, {{2, 2, 2}, {"1f1b", 1}}};
    for (const auto& [mesh, kind] : layouts)
      for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
        TrainConfig config = base;
        config.mesh = mesh;
        config.schedule = kind.schedule;
        config.chunks = kind.chunks;
        config.recompute = recompute;
        config.sequence_parallel = mesh.tp > 1 && recompute != Recompute::selective;
        expect_one_ranks_run(config, one, 2);
      }
  }
}

TEST(Layouts, a_batch_that_grows_is_the_same_in_every_layout) {
  TrainConfig base = tiny_run();
  base.ramp_start = 2;
  base.ramp_sequences = 30;
  const Trained one = train_on_threads(base, 6);
  EXPECT_LT(one.reports[0].tokens, one.reports[5].tokens);
  for (const Mesh mesh : {Mesh{1, 3, 1}, Mesh{2, 1, 2}, Mesh{1, 2, 2}})
    for (const int64_t micro_batch : {1, 3}) {
      TrainConfig config = base;
      config.mesh = mesh;
      config.micro_batch = micro_batch;
      expect_one_ranks_run(config, one, 6);
    }
}

TEST(Layouts, an_untied_head_and_uneven_micro_batches_change_nothing) {
  TrainConfig base = tiny_run();
  base.model.tied_embedding = false;
  base.batch_sequences = 11;
  const Trained one = train_on_threads(base, 3);
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 3, 1}, Mesh{1, 2, 3}, Mesh{1, 5, 1}})
    for (const int64_t micro_batch : {2, 3, 11}) {
      TrainConfig config = base;
      config.mesh = mesh;
      config.micro_batch = micro_batch;
      expect_one_ranks_run(config, one, 3);
    }
}

TEST(Layouts, dropout_is_the_same_mask_in_every_layout) {
  TrainConfig base = tiny_run();
  base.model.dropout = 0.2f;
  const Trained one = train_on_threads(base, 3);
  std::string worst;
  TrainConfig dry = base;
  dry.model.dropout = 0;
  EXPECT_GT(distance(train_on_threads(dry, 3), one, worst), 0.01);  // it does something
  for (const Mesh mesh : {Mesh{2, 1, 1}, Mesh{1, 2, 1}, Mesh{1, 1, 2}, Mesh{2, 2, 2}})
    for (const bool split : {false, true}) {
      TrainConfig config = base;
      config.mesh = mesh;
      config.sequence_parallel = split;
      config.micro_batch = split ? 2 : 1;
      expect_one_ranks_run(config, one, 3);
    }
}

// A document of three tokens, then another; `first` is added to the tokens of the former, and only
// what the latter says next is counted.
Samples two_documents(int32_t first) {
  return [first](uint64_t sample, const Sequence& out) {
    tiny_samples(sample, out);
    for (size_t i = 0; i < out.ids.size(); ++i) {
      if (i < 3) out.ids[i] = (std::max(out.ids[i], 0) + first) % 37;
      if (i < 3) out.targets[i] = -1;
      if (!out.document_start.empty()) out.document_start[i] = i < 3 ? 0 : 3;
    }
  };
}

TEST(Layouts, documents_are_kept_apart_on_every_stage_and_sequences_may_be_short) {
  TrainConfig base = tiny_run();
  base.length = 6;
  const Trained joined = train_on_samples(base, 2, two_documents(0));
  base.documents = true;
  const Trained one = train_on_samples(base, 2, two_documents(0));
  std::string worst;
  EXPECT_GT(distance(joined, one, worst), 0.01);  // it does something
  const Trained other = train_on_samples(base, 1, two_documents(5));
  EXPECT_EQ(other.reports[0].loss, one.reports[0].loss);
  for (const Mesh mesh : {Mesh{2, 1, 1}, Mesh{1, 2, 1}, Mesh{1, 1, 4}, Mesh{2, 1, 2}}) {
    TrainConfig config = base;
    config.mesh = mesh;
    config.sequence_parallel = mesh.tp > 1;
    EXPECT_LT(distance(train_on_samples(config, 2, two_documents(0)), one, worst), bound)
        << worst << " with " << repro(config);
  }
}

TEST(Layouts, a_schedule_from_a_file_is_obeyed) {
  const Trained one = train_on_threads(tiny_run(), 1);
  TrainConfig config = tiny_run({1, 1, 2});
  config.schedule = "file:" KATMAN_SOURCE_DIR "/tests/parallel/two_by_two.schedule";
  config.micro_batch = 4;
  expect_one_ranks_run(config, one, 1);
}

// With 8-bit products too: tensor ranks scale their shards without asking each other.
void expect_ranks_as_close_to_fp32_as_one(bool fp8) {
  constexpr int steps = 5;
  const Trained exact = train_on_threads(tiny_run(), steps);
  TrainConfig config = tiny_run();
  config.precision = DType::bf16;
  config.fp8 = fp8;
  const auto off = [&](const Trained& run) {
    double most = 0;
    for (size_t i = 0; i < run.reports.size(); ++i)
      most = std::max(most, std::abs(run.reports[i].loss - exact.reports[i].loss));
    return most;
  };
  const double own = off(train_on_threads(config, steps));
  EXPECT_GT(own, 0);
  for (const Mesh mesh : {Mesh{2, 1, 1}, Mesh{1, 2, 1}, Mesh{1, 1, 4}, Mesh{2, 2, 2}}) {
    config.mesh = mesh;
    EXPECT_LT(off(train_on_threads(config, steps)), 2 * own + 1e-3) << repro(config);
  }
}
TEST(Layouts, bf16_on_many_ranks_stays_as_close_to_fp32_as_bf16_on_one) {
  expect_ranks_as_close_to_fp32_as_one(false);
}
TEST(Layouts, fp8_on_many_ranks_stays_as_close_to_fp32_as_fp8_on_one) {
  expect_ranks_as_close_to_fp32_as_one(true);
}

}  // namespace
}  // namespace katman::testing
