#include "tests/support/training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/random.h"
#include "parallel/checkpoint/checkpoint.h"

namespace katman::testing {
namespace {

// Puts a rank's owned pieces into the global tensors, and counts that each element comes once.
class Collector {
 public:
  void add(Backend& backend, Trainer& trainer) {
    const std::lock_guard lock(mutex_);
    for (const Piece& piece : trainer.optimizer().pieces()) {
      if (!piece.owned) continue;
      const std::string name = piece.name + " " + name_of(piece.what);
      auto& whole = state_[name];
      whole.resize(static_cast<size_t>(piece.global.elements()), missing);
      std::vector<float> part(static_cast<size_t>(piece.data.elements()));
      backend.download(piece.data, part.data());
      count_[name] += piece.data.elements();
      copy_box(piece.box, piece.box, reinterpret_cast<const std::byte*>(part.data()),
               Box::whole(piece.global), reinterpret_cast<std::byte*>(whole.data()), 4);
    }
  }

  std::map<std::string, std::vector<float>> result() {
    for (const auto& [name, whole] : state_) {
      require(count_[name] == static_cast<int64_t>(whole.size()),
              "{} elements of {} are owned, of {}", count_[name], name, whole.size());
      require(std::ranges::find(whole, missing) == whole.end(), "an element of {} has no owner",
              name);
    }
    return std::move(state_);
  }

 private:
  static constexpr float missing = -1e30f;
  std::mutex mutex_;
  std::map<std::string, std::vector<float>> state_;
  std::map<std::string, int64_t> count_;
};

Trained train_on(const MakeDevice& make_device, const TrainConfig& config, int steps,
                 const Samples& samples, const std::function<void(Trainer&)>& after) {
  Trained trained;
  Collector collector;
  run_ranks_on(make_device, config.mesh.size(), [&](Comm& world, Backend& backend) {
    Trainer trainer(config, backend, world, samples);
    std::vector<StepReport> reports;
    for (int step = 0; step < steps; ++step) reports.push_back(trainer.step({}));
    collector.add(backend, trainer);
    if (after) after(trainer);
    if (world.rank() == 0) trained.reports = std::move(reports);
  });
  trained.state = collector.result();
  return trained;
}

}  // namespace

TrainConfig tiny_run(const Mesh& mesh, int64_t layers) {
  TrainConfig config;
  config.model = {.layers = layers, .hidden = 16, .heads = 8, .sequence = 8, .vocabulary = 37};
  config.mesh = mesh;
  // Adam divides a gradient by its own size, so that rounding in a small element becomes as large
  // as a step. An epsilon of the size of gradients keeps updates a smooth function of them, and
  // layouts comparable to rounding.
  config.adam.epsilon = 3e-2f;
  config.rate = {.kind = LearningRate::Kind::constant, .peak = 2e-2f};
  config.steps = 100;
  config.batch_sequences = 8;
  config.micro_batch = 1;
  config.seed = 3;
  config.bucket_elements = 3000;  // several buckets, some shared by stages
  return config;
}

void tiny_samples(uint64_t sample, const Sequence& out) {
  static const Samples samples = windows([](uint64_t number, std::span<int32_t> tokens) {
    const Key key = Key(11).at(number);
    for (size_t i = 0; i < tokens.size(); ++i) {
      const uint64_t bits = random_bits(key, i);
      tokens[i] = bits % 16 == 0 ? -1 : static_cast<int32_t>(bits / 16 % 37 % (3 + i));
    }
  });
  samples(sample, out);
}

Trained train_on_threads(const TrainConfig& config, int steps,
                         const std::function<void(Trainer&)>& after,
                         const MakeDevice& make_device) {
  return train_on(make_device, config, steps, tiny_samples, after);
}

Trained train_on_samples(const TrainConfig& config, int steps, const Samples& samples,
                         const std::function<void(Trainer&)>& after) {
  const auto reference = [] { return make_backend("reference"); };
  return train_on(reference, config, steps, samples, after);
}

double distance(const Trained& a, const Trained& b, std::string& worst) {
  double most = 0;
  if (a.state.size() != b.state.size()) return INFINITY;
  for (const auto& [name, values] : b.state) {
    const auto found = a.state.find(name);
    if (found == a.state.end() || found->second.size() != values.size()) return INFINITY;
    double difference = 0, scale = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      difference = std::max<double>(difference, std::abs(found->second[i] - values[i]));
      scale = std::max<double>(scale, std::abs(values[i]));
    }
    const double relative = scale > 0 ? difference / scale : difference;
    if (!(relative <= most)) {
      most = relative;
      worst = name;
    }
  }
  return most;
}

void expect_same_losses(const Trained& a, const Trained& b, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(a.reports.size(), b.reports.size());
  for (size_t step = 0; step < b.reports.size(); ++step)
    EXPECT_NEAR(a.reports[step].loss, b.reports[step].loss, tolerance * b.reports[step].loss)
        << "step " << step << ", " << what;
}

std::vector<double> go_on(const TrainConfig& config, const MakeDevice& make_device,
                          const std::filesystem::path& directory, int64_t from, int64_t to) {
  std::vector<double> losses;
  run_ranks_on(make_device, config.mesh.size(), [&](Comm& world, Backend& backend) {
    Trainer trainer(config, backend, world, tiny_samples);
    CheckpointStore store(directory, {}, backend, world);
    if (const auto info = store.resume(trainer.optimizer().pieces())) trainer.resume(info->step);
    EXPECT_EQ(trainer.next_step(), from);
    while (trainer.next_step() < to) {
      const double loss = trainer.step({}).loss;
      if (world.rank() == 0) losses.push_back(loss);
    }
    CheckpointInfo info;
    info.step = to;
    info.model = config.model;
    info.mesh = config.mesh;
    store.save(info, trainer.optimizer().pieces());
    require(store.finish(), "the checkpoint was not committed");
  });
  return losses;
}

std::string repro(const TrainConfig& c) {
  return fmt::format("{} schedule={} chunks={} sequence_parallel={} recompute={}",
                     to_string(c.mesh), c.schedule, c.chunks, c.sequence_parallel,
                     static_cast<int>(c.recompute));
}

}  // namespace katman::testing
