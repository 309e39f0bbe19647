// A task head under every layout: the same run, cut over ranks, gives the same model and the same
// answers.
#include <gtest/gtest.h>

#include <mutex>

#include "tests/support/ranks.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

constexpr double bound = 1e-5;  // see layouts_test

TrainConfig task_run(const TaskShape& task, const Mesh& mesh = {}) {
  TrainConfig config = tiny_run(mesh, 4);
  config.model.dropout = 0.1f;
  config.task = task;
  config.language_weight = 0.05f;
  config.batch_sequences = 4 * task.sequences;
  config.micro_batch = task.sequences;
  return config;
}

// The label is written into the sequence; every fifth example lacks its last choice.
Samples task_samples(const TaskShape& task) {
  return [task](uint64_t sample, const Sequence& out) {
    tiny_samples(sample, out);
    if (out.extract.empty()) return;
    const auto each = static_cast<uint64_t>(task.sequences);
    const uint64_t example = sample / each;
    const bool absent = !task.classes && example % 5 == 4 && sample % each == each - 1;
    out.extract[0] = absent ? -1 : static_cast<int32_t>(3 + sample % 5);
    out.label[0] =
        static_cast<int32_t>(example % static_cast<uint64_t>(task.classes ? task.classes : 2));
  };
}

const std::vector<TaskShape> shapes = {{.sequences = 1, .classes = 3, .dropout = 0.1f},
                                       {.sequences = 2, .classes = 2},
                                       {.sequences = 3, .classes = 0}};

struct Taught {
  Trained trained;
  Trainer::Examination examination;
};

Taught teach(const TrainConfig& config) {
  Taught taught;
  std::mutex mutex;
  taught.trained = train_on_samples(config, 3, task_samples(*config.task), [&](Trainer& trainer) {
    const auto found = trainer.examine(task_samples(*config.task), 0, 7 * config.task->sequences);
    const std::lock_guard lock(mutex);
    if (!taught.examination.scores.empty()) {
      EXPECT_EQ(taught.examination.scores, found.scores);
    }
    taught.examination = found;
  });
  return taught;
}

TEST(TaskTraining, every_layout_gives_one_ranks_values_and_answers) {
  for (const TaskShape& shape : shapes) {
    const Taught one = teach(task_run(shape));
    ASSERT_EQ(one.examination.scores.size(), static_cast<size_t>(7 * shape.outputs()));
    for (const Mesh mesh : {Mesh{2, 1, 1}, Mesh{1, 3, 1}, Mesh{1, 1, 2}, Mesh{2, 2, 2}}) {
      TrainConfig config = task_run(shape, mesh);
      config.sequence_parallel = mesh.pp == 2;
      config.micro_batch = 2 * shape.sequences;
      config.schedule = mesh.pp == 2 && mesh.tp == 2 ? "zero_bubble" : "1f1b";
      const Taught many = teach(config);
      std::string worst;
      EXPECT_LT(distance(many.trained, one.trained, worst), bound) << worst << repro(config);
      for (size_t i = 0; i < 3; ++i)
        EXPECT_NEAR(many.trained.reports[i].loss, one.trained.reports[i].loss, bound);
      EXPECT_NEAR(many.examination.loss, one.examination.loss, bound);
      for (size_t i = 0; i < one.examination.scores.size(); ++i)
        EXPECT_NEAR(many.examination.scores[i], one.examination.scores[i],
                    std::abs(one.examination.scores[i]) * bound + bound);
    }
  }
}

TEST(TaskTraining, learns_what_the_labels_say) {
  TrainConfig config = task_run(shapes[0]);
  config.model.dropout = 0;
  config.task->dropout = 0;
  config.adam.epsilon = 1e-8f;
  config.rate.peak = 1e-2f;
  double before = 0, after = 0;
  // All tokens but the last say the class.
  const Samples samples = [](uint64_t sample, const Sequence& out) {
    tiny_samples(sample, out);
    for (size_t i = 0; i < out.ids.size(); ++i)
      out.ids[i] = i + 1 < out.ids.size() ? static_cast<int32_t>(sample % 3) : 36;
    if (out.extract.empty()) return;
    out.extract[0] = 7;
    out.label[0] = static_cast<int32_t>(sample % 3);
  };
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    Trainer trainer(config, *backend, world, samples);
    before = trainer.examine(samples, 1000, 30).loss;
    for (int step = 0; step < 100; ++step) trainer.step({});
    after = trainer.examine(samples, 1000, 30).loss;
  });
  EXPECT_NEAR(before, std::log(3.0), 0.1);
  EXPECT_LT(after, 0.2);
}

TEST(TaskTraining, the_language_models_loss_is_added_with_its_weight) {
  const auto loss_with = [](float weight) {
    TrainConfig config = task_run(shapes[0]);
    config.model.dropout = 0;
    config.task->dropout = 0;
    config.language_weight = weight;
    return train_on_samples(config, 1, task_samples(shapes[0])).reports[0].loss;
  };
  const double task = loss_with(0), half = loss_with(0.5f), whole = loss_with(1);
  EXPECT_NEAR(task, std::log(3.0), 0.1);
  EXPECT_GT(half, task + 1);
  EXPECT_NEAR(whole - task, 2 * (half - task), 1e-4 * whole);
}

TEST(TaskTraining, batches_hold_whole_examples) {
  TrainConfig config = task_run(shapes[1]);
  config.batch_sequences = 7;
  EXPECT_THROW(config.check(), UsageError);
  config.batch_sequences = 8;
  config.micro_batch = 1;
  EXPECT_THROW(config.check(), UsageError);
}

}  // namespace
}  // namespace katman::testing
