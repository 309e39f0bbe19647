#include "parallel/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/ranks.h"
#include "tests/support/throws.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

TEST(Trainer, starts_at_the_loss_of_a_uniform_guess) {
  const auto trained = train_on_threads(tiny_run(), 1);
  EXPECT_NEAR(trained.reports[0].loss, std::log(37.0), 0.05);
}

TEST(Trainer, memorises_one_batch) {
  TrainConfig config = tiny_run({}, 2);
  config.model.hidden = 32;
  config.adam.weight_decay = 0;
  config.micro_batch = 4;
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(
        config, *backend, world, windows([](uint64_t sample, std::span<int32_t> tokens) {
          // Told apart by their first token, so that nothing is left to guess.
          for (size_t i = 0; i < tokens.size(); ++i)
            tokens[i] = static_cast<int32_t>(i ? random_bits(Key(sample % 4), i) % 37 : sample % 4);
        }));
    config.batch_sequences = 4;
    double loss = 10;
    for (int step = 0; step < 300 && loss >= 0.01; ++step) loss = trainer.step({}).loss;
    EXPECT_LT(loss, 0.01);
  });
}

TEST(Trainer, the_batch_of_a_step_is_its_range_of_samples_whatever_the_layout) {
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 3, 1}, Mesh{1, 3, 2}}) {
    TrainConfig config = tiny_run(mesh);
    config.batch_sequences = 7;
    config.micro_batch = 2;
    std::mutex mutex;
    std::map<uint64_t, int> reads;
    run_ranks(mesh.size(), [&](Comm& world) {
      const auto backend = make_backend("reference");
      Trainer trainer(config, *backend, world, [&](uint64_t sample, const Sequence& out) {
        const std::lock_guard lock(mutex);
        ++reads[sample];
        tiny_samples(sample, out);
      });
      trainer.resume(5);
      trainer.step({});
    });
    ASSERT_EQ(reads.size(), 7u);
    EXPECT_EQ(reads.begin()->first, 35u);
    const int readers = mesh.tp * (mesh.pp > 1 ? 2 : 1);  // both ends of the model read
    for (const auto& [sample, count] : reads) EXPECT_EQ(count, readers) << sample;
  }
}

TEST(Trainer, takes_no_memory_from_the_device_after_the_first_step) {
  for (const std::string schedule : {"gpipe", "1f1b", "zero_bubble"}) {
    TrainConfig config = tiny_run({2, 1, 2});
    config.schedule = schedule;
    run_ranks(4, [&](Comm& world) {
      const auto backend = make_backend("reference");
      Trainer trainer(config, *backend, world, tiny_samples);
      trainer.step({});
      const auto calls = backend->pool().usage().device_calls;
      const auto in_use = backend->pool().usage().in_use_bytes;
      for (int step = 0; step < 3; ++step) trainer.step({});
      EXPECT_EQ(backend->pool().usage().device_calls, calls) << schedule;
      EXPECT_EQ(backend->pool().usage().in_use_bytes, in_use) << schedule;
    });
  }
}

TEST(Trainer, every_rank_hears_every_wish_after_the_same_step) {
  run_ranks(4, [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(tiny_run({2, 2, 1}), *backend, world, tiny_samples);
    EXPECT_EQ(trainer.step({}).agreed, Wishes{});
    EXPECT_EQ(trainer.step({.save = world.rank() == 3}).agreed, Wishes{.save = true});
    EXPECT_EQ(trainer.step({.stop = world.rank() == 0, .pause = true}).agreed,
              (Wishes{.stop = true, .pause = true}));
  });
}

// Poisons the gradient of one parameter on one rank by way of its values.
void poison(Trainer& trainer, float value) {
  auto& param = trainer.params().all().back();
  param.value.data<float>()[0] = value;
}

TEST(Trainer, a_gradient_that_is_not_a_number_skips_the_step_on_all_ranks) {
  run_ranks(4, [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(tiny_run({1, 2, 2}), *backend, world, tiny_samples);
    trainer.step({});
    const float before = trainer.params().all().front().value.data<float>()[0];
    const float healthy = trainer.params().all().back().value.data<float>()[0];
    if (world.rank() == 3) poison(trainer, NAN);
    const StepReport skipped = trainer.step({});
    EXPECT_TRUE(skipped.skipped);
    EXPECT_EQ(skipped.skipped_in_a_row, 1);
    EXPECT_EQ(trainer.params().all().front().value.data<float>()[0], before);
    if (world.rank() == 3) poison(trainer, healthy);
    const StepReport next = trainer.step({});
    EXPECT_FALSE(next.skipped);
    EXPECT_EQ(next.skipped_in_a_row, 0);
    EXPECT_EQ(next.step, 2);
  });
}

TEST(Trainer, three_skipped_steps_in_a_row_stop_the_run_with_a_message) {
  try {
    run_ranks(2, [&](Comm& world) {
      const auto backend = make_backend("reference");
      Trainer trainer(tiny_run({1, 2, 1}), *backend, world, tiny_samples);
      if (world.rank() == 1) poison(trainer, INFINITY);
      EXPECT_TRUE(trainer.step({}).skipped);
      EXPECT_EQ(trainer.step({}).skipped_in_a_row, 2);
      trainer.step({});
    });
    ADD_FAILURE() << "three skipped steps went by";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("3 steps in a row, up to step 2"), std::string::npos)
        << error.what();
  }
}

TEST(Trainer, validation_is_the_same_on_every_layout_and_leaves_no_trace) {
  std::vector<double> losses;
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 2, 2}, Mesh{1, 3, 1}}) {
    double loss = 0;
    run_ranks(mesh.size(), [&](Comm& world) {
      const auto backend = make_backend("reference");
      Trainer trainer(tiny_run(mesh), *backend, world, tiny_samples);
      const double first = trainer.validate(tiny_samples, 1000, 5);
      EXPECT_EQ(trainer.validate(tiny_samples, 1000, 5), first);
      EXPECT_EQ(trainer.next_step(), 0);
      if (world.rank() == 0) loss = first;
    });
    losses.push_back(loss);
  }
  EXPECT_NEAR(losses[1], losses[0], 1e-5);
  EXPECT_NEAR(losses[2], losses[0], 1e-5);
}

TEST(Trainer, a_run_is_the_same_to_the_bit_twice) {
  TrainConfig config = tiny_run({2, 2, 2});
  config.sequence_parallel = true;
  std::string worst;
  EXPECT_EQ(distance(train_on_threads(config, 3), train_on_threads(config, 3), worst), 0) << worst;
}

TEST(Trainer, replicas_without_sequences_take_part) {
  TrainConfig config = tiny_run({1, 4, 1});
  config.batch_sequences = 3;
  TrainConfig alone = config;
  alone.mesh = {};
  std::string worst;
  EXPECT_LT(distance(train_on_threads(config, 3), train_on_threads(alone, 3), worst), 1e-5)
      << worst;
}

// A document that is all mask divides by zero tokens wherever a mean is taken too early.
TEST(Trainer, sequences_without_a_target_that_counts_weigh_nothing_wherever_they_fall) {
  const Samples half_masked = [](uint64_t sample, const Sequence& out) {
    tiny_samples(sample, out);
    if (sample % 2) std::ranges::fill(out.targets, -1);
  };
  std::vector<std::pair<double, double>> seen;
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{1, 8, 1}, Mesh{2, 2, 2}})
    for (const int64_t micro_batch : {1, 8}) {
      TrainConfig config = tiny_run(mesh);
      config.micro_batch = micro_batch;
      run_ranks(mesh.size(), [&](Comm& world) {
        const auto backend = make_backend("reference");
        Trainer trainer(config, *backend, world, half_masked);
        const StepReport report = trainer.step({});
        EXPECT_FALSE(report.skipped);
        if (world.rank() == 0) seen.emplace_back(report.loss, report.grad_norm);
      });
    }
  for (const auto& [loss, grad_norm] : seen) {
    EXPECT_NEAR(loss, seen[0].first, 1e-5 * seen[0].first);
    EXPECT_NEAR(grad_norm, seen[0].second, 1e-5 * seen[0].second);
  }
}

TEST(Trainer, the_learning_rate_of_a_resumed_step_is_that_of_the_step) {
  TrainConfig config = tiny_run();
  config.rate = {
      .kind = LearningRate::Kind::cosine, .peak = 1e-2f, .warmup_steps = 4, .total_steps = 40};
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(config, *backend, world, tiny_samples);
    trainer.resume(30);
    EXPECT_EQ(trainer.step({}).rate, static_cast<double>(config.rate.at(30)));
    EXPECT_EQ(trainer.step({}).rate, static_cast<double>(config.rate.at(31)));
  });
}

TEST(Trainer, a_world_of_another_size_than_the_mesh_is_refused) {
  EXPECT_TRUE(fails_with("the mesh tp=2 dp=1 pp=2 is for 4 ranks, and 2 were started", [] {
    run_ranks(2, [](Comm& world) {
      const auto backend = make_backend("reference");
      Trainer trainer(tiny_run({2, 1, 2}), *backend, world, tiny_samples);
    });
  }));
}

TEST(Trainer, memory_is_what_the_layout_promises) {
  // Padding is at most a cache line per parameter: little beside a model of this size.
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 2, 1}, Mesh{1, 4, 2}}) {
    TrainConfig config = tiny_run(mesh, 2);
    config.model.hidden = 128;
    config.model.vocabulary = 128;
    config.model.tied_embedding = false;  // one table at either end
    config.precision = DType::bf16;
    const auto whole = static_cast<double>(config.model.parameters());
    train_on_threads(config, 1, [&](Trainer& trainer) {
      const auto share = static_cast<double>(trainer.params().elements());
      EXPECT_NEAR(share * mesh.tp * mesh.pp / whole, 1, 0.1) << repro(config);
      for (const MemoryLine& line : trainer.memory())
        EXPECT_NEAR(
            static_cast<double>(line.allocated_bytes) / static_cast<double>(line.promised_bytes), 1,
            0.1)
            << line.what << " with " << repro(config);
    });
  }
}

TEST(TrainConfig, names_the_field_that_cannot_be) {
  const auto refusal = [](auto change) {
    TrainConfig config = tiny_run();
    change(config);
    try {
      config.check();
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal([](TrainConfig&) {}), "accepted");
  EXPECT_NE(refusal([](TrainConfig& c) { c.mesh.dp = 0; }).find("mesh.dp = 0"), std::string::npos);
  const auto three = refusal([](TrainConfig& c) { c.mesh.tp = 3; });
  EXPECT_NE(three.find("mesh.tp = 3"), std::string::npos) << three;
  EXPECT_NE(three.find("(the nearest mesh that fits: tp=1 dp=3 pp=1)"), std::string::npos) << three;
  EXPECT_NE(refusal([](TrainConfig& c) { c.mesh.pp = 9; }).find("at most 8"), std::string::npos);
  EXPECT_NE(refusal([](TrainConfig& c) { c.schedule = "2f2b"; }).find("'2f2b'"), std::string::npos);
  EXPECT_NE(refusal([](TrainConfig& c) {
              c.sequence_parallel = true;
              c.mesh.tp = 8;
              c.model.sequence = 12;
            }).find("model.sequence = 12"),
            std::string::npos);
}

}  // namespace
}  // namespace katman::testing
