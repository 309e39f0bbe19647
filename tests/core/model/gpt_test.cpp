#include "core/model/gpt.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/model.h"

namespace katman::testing {
namespace {

void expect_same_bits(const StepResult& a, const StepResult& b) {
  EXPECT_EQ(a.loss, b.loss);
  for (const auto& [name, grad] : b.grads) EXPECT_TRUE(a.grads.at(name) == grad) << name;
}

TEST(Gpt, a_uniform_model_starts_at_the_logarithm_of_the_vocabulary) {
  const auto tp = alone();
  const GptConfig config = little_gpt();
  Model model(config, *tp);
  model.backend->fill_zero(model.params.at("wte.weight").value);
  const Batch batch = random_batch(config, 2, 8);
  const auto counted = static_cast<double>(batch.counted());
  EXPECT_NEAR(model.step(batch) / counted, std::log(37.0), 1e-5);
}

TEST(Gpt, a_fresh_model_starts_near_the_logarithm_of_the_vocabulary) {
  const auto tp = alone();
  const GptConfig config = gpt_preset("tiny");
  Model model(config, *tp);
  const Batch batch = random_batch(config, 1, 32);
  EXPECT_NEAR(model.step(batch) / 26, std::log(256.0), 0.1);
}

TEST(Gpt, matrices_that_write_to_the_residual_stream_start_smaller_the_deeper_the_model) {
  const auto tp = alone();
  GptConfig config = gpt_preset("tiny");
  config.layers = 8;
  Model model(config, *tp);
  const auto deviation = [&](const std::string& name) {
    double squares = 0;
    const auto values = read(*model.backend, model.params.at(name).value);
    for (const float value : values) squares += static_cast<double>(value) * value;
    return std::sqrt(squares / static_cast<double>(values.size()));
  };
  for (const std::string layer : {"h.0", "h.7"}) {
    EXPECT_NEAR(deviation(layer + ".attn.qkv.weight"), 0.02, 0.001);
    EXPECT_NEAR(deviation(layer + ".mlp.up.weight"), 0.02, 0.001);
    EXPECT_NEAR(deviation(layer + ".attn.proj.weight"), 0.02 / 4, 0.0005);
    EXPECT_NEAR(deviation(layer + ".mlp.down.weight"), 0.02 / 4, 0.0005);
  }
}

TEST(Gpt, the_whole_model_has_the_gradient_of_finite_differences) {
  const auto tp = alone();
  for (auto [name, config] : little_models())
    for (const bool tied : {true, false}) {
      SCOPED_TRACE(name);
      config.tied_embedding = tied;
      config.dropout = tied ? 0.1f : 0.0f;
      const auto backend = make_backend("reference");
      Params params;
      const ModelContext context{*backend, *tp, DType::f32, false, Key(1)};
      GptStage stage(config, {0, config.layers, true, true}, context, params);
      const Batch batch = random_batch(config, 2, 6);
      const Tensor targets = make_ids(*backend, batch.targets);
      const auto forward = [&](const Tensor& ids, Tape& tape) {
        const Tensor sum = backend->zeros({1}, DType::f32);
        stage.loss(stage.forward(ids, tape), targets, sum, tape);
        return sum;
      };
      const auto backward = [&](const Tensor& dy, const Tensor&, Tape& tape) {
        const Tensor dx = stage.backward({}, tape);
        for (const Bucket& bucket : params.buckets())
          backend->scale(bucket.grad, read(*backend, dy)[0]);
        return dx;
      };
      expect_gradients(*backend, params, {forward, backward}, make_ids(*backend, batch.ids),
                       batch.micro, false);
    }
}

// Documents of 3 and 5 tokens: what a model says inside the second is what it says of it alone.
TEST(Gpt, a_document_does_not_see_the_one_before_it) {
  const auto tp = alone();
  for (const auto& [name, config] : little_models()) {
    SCOPED_TRACE(name);
    Model model(config, *tp);
    const auto logits = [&](const std::vector<int32_t>& ids, const Micro& micro) {
      Tape tape(micro, false);
      return read(*model.backend,
                  model.stage.logits(model.stage.forward(make_ids(*model.backend, ids), tape)));
    };
    const std::vector<int32_t> both = {5, 17, 36, 9, 3, 22, 30, 1};
    Micro together{.sequences = 1, .length = 8, .training = false};
    together.document_start = make_ids(*model.backend, {0, 0, 0, 3, 3, 3, 3, 3});
    together.places = make_ids(*model.backend, {0, 1, 2, 0, 1, 2, 3, 4});
    const Values packed = logits(both, together);
    const Values first = logits({5, 17, 36}, {.sequences = 1, .length = 3, .training = false});
    const Values second =
        logits({9, 3, 22, 30, 1}, {.sequences = 1, .length = 5, .training = false});
    EXPECT_LT(distance({packed.begin(), packed.begin() + 3 * 37}, first), 1e-5);
    EXPECT_LT(distance({packed.begin() + 3 * 37, packed.end()}, second), 1e-5);
  }
}

TEST(Gpt, a_banded_layer_forgets_what_lies_behind_the_band) {
  const auto tp = alone();
  GptConfig config = little_gpt();
  config.layers = 1;
  config.window = 3;
  config.window_every = 1;
  Model model(config, *tp);
  const auto last = [&](int32_t oldest) {
    Micro micro{.sequences = 1, .length = 6, .training = false};
    Tape tape(micro, false);
    const Tensor h =
        model.stage.forward(make_ids(*model.backend, {oldest, oldest, oldest, 4, 9, 11}), tape);
    return read(*model.backend, model.stage.logits(h.slice(5, 1)));
  };
  EXPECT_EQ(last(1), last(30));
  Micro micro{.sequences = 1, .length = 6, .training = false};
  config.window_every = 2;  // one layer alone is not the last of two: dense
  EXPECT_EQ(config.window_of(0), 0);
  Model dense(config, *tp);
  Tape a(micro, false), b(micro, false);
  EXPECT_NE(
      read(*dense.backend,
           dense.stage.forward(make_ids(*dense.backend, {1, 1, 1, 4, 9, 11}), a).slice(5, 1)),
      read(*dense.backend,
           dense.stage.forward(make_ids(*dense.backend, {2, 2, 2, 4, 9, 11}), b).slice(5, 1)));
}

TEST(Gpt, recomputation_changes_no_bit_of_any_gradient) {
  for (const float dropout : {0.0f, 0.2f})
    for (auto [name, config] : little_models()) {
      SCOPED_TRACE(name);
      config.dropout = dropout;
      const Batch batch = random_batch(config, 2, 8);
      const StepResult none = step_alone(config, batch);
      for (const auto recompute : {Recompute::selective, Recompute::full}) {
        const StepResult other = step_alone(config, batch, {.recompute = recompute});
        expect_same_bits(other, none);
      }
    }
}

TEST(Gpt, recomputation_changes_no_bit_in_bf16_either) {
  const GptConfig config = little_gpt();
  const Batch batch = random_batch(config, 2, 8);
  const StepResult none = step_alone(config, batch, {.type = DType::bf16});
  for (const auto recompute : {Recompute::selective, Recompute::full}) {
    const StepResult other =
        step_alone(config, batch, {.recompute = recompute, .type = DType::bf16});
    expect_same_bits(other, none);
  }
}

TEST(Gpt, the_less_is_remembered_the_more_is_recomputed) {
  const auto tp = alone();
  GptConfig config = little_gpt();
  config.layers = 6;
  const Batch batch = random_batch(config, 2, 8);
  const auto remembered = [&](Recompute recompute) {
    Model model(config, *tp, {.recompute = recompute});
    const int64_t before = model.backend->pool().usage().in_use_bytes;
    Tape tape(batch.micro);
    model.stage.forward(make_ids(*model.backend, batch.ids), tape);
    return model.backend->pool().usage().in_use_bytes - before;
  };
  const int64_t none = remembered(Recompute::none), full = remembered(Recompute::full);
  const int64_t selective = remembered(Recompute::selective);
  EXPECT_LT(static_cast<double>(selective), 0.75 * static_cast<double>(none));
  EXPECT_LT(static_cast<double>(full), 0.25 * static_cast<double>(none));
}

TEST(Gpt, postponed_weight_gradients_are_the_same) {
  const GptConfig config = little_gpt();
  const Batch batch = random_batch(config, 2, 8);
  const auto tp = alone();
  Model now(config, *tp), later(config, *tp);
  EXPECT_EQ(now.step(batch), later.step(batch, true));
  for (const Param& param : now.params.all())
    EXPECT_EQ(read(*now.backend, param.grad),
              read(*later.backend, later.params.at(param.name).grad))
        << param.name;
}

TEST(Gpt, gradients_of_micro_batches_add_up) {
  const GptConfig config = little_gpt();
  const Batch both = random_batch(config, 2, 8);
  Batch first = both, second = both;
  first.micro.sequences = second.micro.sequences = 1;
  first.ids.resize(8), first.targets.resize(8);
  second.ids.erase(second.ids.begin(), second.ids.begin() + 8);
  second.targets.erase(second.targets.begin(), second.targets.begin() + 8);
  second.micro.first_sequence += 1;
  const auto tp = alone();
  GptConfig dropping = config;
  dropping.dropout = 0.2f;
  Model whole(dropping, *tp), parts(dropping, *tp);
  EXPECT_NEAR(whole.step(both), parts.step(first) + parts.step(second), 1e-4);
  for (const Param& param : whole.params.all())
    EXPECT_LT(distance(read(*parts.backend, parts.params.at(param.name).grad),
                       read(*whole.backend, param.grad)),
              1e-5)
        << param.name;
}

TEST(Gpt, stages_in_a_row_are_the_model) {
  const auto tp = alone();
  for (const bool tied : {true, false}) {
    GptConfig config = little_gpt();
    config.tied_embedding = tied;
    config.dropout = 0.1f;
    const Batch batch = random_batch(config, 2, 8);
    Model whole(config, *tp);
    Model first(config, *tp, {.range = {0, 1, true, false}});
    Model last(config, *tp, {.range = {1, 2, false, true}});
    EXPECT_EQ(first.params.at("wte.weight").tied, tied);
    EXPECT_FALSE(whole.params.at("wte.weight").tied);
    const double expected = whole.step(batch);

    Tape a(batch.micro), b(batch.micro);
    const Tensor sum = last.backend->zeros({1}, DType::f32);
    const Tensor between = first.stage.forward(make_ids(*first.backend, batch.ids), a);
    last.stage.loss(last.stage.forward(between, b), make_ids(*last.backend, batch.targets), sum, b);
    const Tensor back = last.stage.backward({}, b);
    EXPECT_EQ(back.shape(), between.shape());
    EXPECT_FALSE(first.stage.backward(back, a));
    EXPECT_TRUE(a.empty() && b.empty());
    EXPECT_EQ(read(*last.backend, sum)[0], static_cast<float>(expected));

    for (const Param& param : whole.params.all()) {
      Values grad(static_cast<size_t>(param.global.elements()), 0);
      for (Model* stage : {&first, &last})
        if (const Param* part = stage->params.find(param.name)) {
          const Values mine = read(*stage->backend, part->grad);
          for (size_t i = 0; i < grad.size(); ++i) grad[i] += mine[i];
        }
      EXPECT_LT(distance(grad, read(*whole.backend, param.grad)), 1e-6) << param.name;
    }
  }
}

TEST(Gpt, two_stages_of_one_rank_share_the_tied_table) {
  const auto tp = alone();
  const GptConfig config = little_gpt();
  const auto backend = make_backend("reference");
  Params params;
  const ModelContext context{*backend, *tp, DType::f32, false, Key(1)};
  const GptStage first(config, {0, 1, true, false}, context, params);
  const GptStage last(config, {1, 2, false, true}, context, params);
  int64_t elements = 0;
  for (const Param& param : params.all()) elements += param.global.elements();
  EXPECT_EQ(elements, config.parameters());
}

TEST(Gpt, a_step_takes_no_memory_from_the_device_after_the_first) {
  const auto tp = alone();
  const GptConfig config = little_gpt();
  const Batch batch = random_batch(config, 2, 8);
  Model model(config, *tp);
  model.step(batch);
  const auto first = model.backend->pool().usage();
  model.step(batch);
  const auto second = model.backend->pool().usage();
  EXPECT_EQ(second.device_calls, first.device_calls);
  EXPECT_EQ(second.in_use_bytes, first.in_use_bytes);
}

TEST(Gpt, a_tiny_model_memorises_one_batch) {
  const auto tp = alone();
  GptConfig config = little_gpt();
  config.hidden = 32;
  Batch batch = random_batch(config, 2, 8);
  Model model(config, *tp);
  Backend& backend = *model.backend;
  std::vector<Tensor> m, v;  // [bucket]
  for (const Bucket& bucket : model.params.buckets()) {
    m.push_back(backend.zeros(bucket.grad.shape(), DType::f32));
    v.push_back(backend.zeros(bucket.grad.shape(), DType::f32));
  }
  const auto counted = static_cast<float>(batch.counted());
  double loss = 0;
  for (int64_t step = 1; step <= 150; ++step) {
    model.params.zero_grads(backend);
    loss = model.step(batch) / counted;
    for (size_t i = 0; i < m.size(); ++i) {
      const Bucket& bucket = model.params.buckets()[i];
      AdamW update;
      update.value = update.master = bucket.value;
      update.grad = bucket.grad;
      update.m = m[i];
      update.v = v[i];
      update.rate = 1e-2f;
      update.grad_scale = 1 / counted;
      update.step = step;
      backend.adamw(update);
    }
    backend.weights_changed();
  }
  EXPECT_LT(loss, 0.01);
  for (const Param& param : model.params.all()) {
    if (!param.spare_rows) continue;
    const auto values = read(backend, param.padded_value);
    for (size_t i = static_cast<size_t>(param.mine.elements()); i < values.size(); ++i)
      ASSERT_EQ(values[i], 0) << "a spare row moved";
  }
}

TEST(Gpt, what_does_not_fit_is_refused) {
  const auto tp = alone();
  const GptConfig config = little_gpt();
  Model model(config, *tp);
  Batch batch = random_batch(config, 1, 9);
  EXPECT_THROW(model.step(batch), Error);  // longer than the positions
  batch = random_batch(config, 1, 8);
  batch.ids.pop_back();
  EXPECT_THROW(model.step(batch), Error);
}

}  // namespace
}  // namespace katman::testing
