#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "parallel/trainer.h"
#include "tests/support/ranks.h"

namespace katman::testing {

// A model that trains in milliseconds on the reference backend, with nothing round about it: an odd
// vocabulary, and enough layers and heads for every mesh of eight ranks.
TrainConfig tiny_run(const Mesh& mesh = {}, int64_t layers = 8);

// Tokens that are a pure function of the sample, with some targets that do not count.
void tiny_samples(uint64_t sample, const Sequence& out);

// What a run leaves behind, whatever its layout was.
struct Trained {
  std::vector<StepReport> reports;                  // [step], the same on all ranks
  std::map<std::string, std::vector<float>> state;  // "name master|m|v" -> the global tensor
};

// Trains on ranks that are threads, each with a device of its own. `after` runs on every rank at
// the end.
Trained train_on_threads(
    const TrainConfig& config, int steps, const std::function<void(Trainer&)>& after = {},
    const MakeDevice& make_device = [] { return make_backend("reference"); });
// The same on the reference backend, from other samples.
Trained train_on_samples(const TrainConfig& config, int steps, const Samples& samples,
                         const std::function<void(Trainer&)>& after = {});

// The largest |a - b| over the largest |b|, over all tensors; `worst` gets its name. Infinite when
// names or sizes differ.
double distance(const Trained& a, const Trained& b, std::string& worst);

// Expects a's losses to be b's but for `tolerance` of each.
void expect_same_losses(const Trained& a, const Trained& b, double tolerance,
                        const std::string& what);

// The losses of steps [from, to) of a run whose checkpoints are in `directory`, on devices made by
// make_device: from its last checkpoint, which must be that of step `from`, to another at `to`.
std::vector<double> go_on(const TrainConfig& config, const MakeDevice& make_device,
                          const std::filesystem::path& directory, int64_t from, int64_t to);

// "mesh.tp=2 ... schedule=1f1b", for messages.
std::string repro(const TrainConfig& config);

}  // namespace katman::testing
