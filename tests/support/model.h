// What tests of the model share: small models on the reference backend, their gradients by name,
// and the comparison of a backward pass with finite differences.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/model/gpt.h"
#include "core/model/presets.h"

namespace katman::testing {

Tensor make(Backend& backend, const Shape& shape, const std::vector<float>& values);
Tensor make_ids(Backend& backend, const std::vector<int32_t>& ids);
Tensor normal(Backend& backend, const Shape& shape, Key key, float deviation = 1);
std::vector<float> read(Backend& backend, const Tensor& t);  // f32 or bf16

// A micro-batch of random tokens; every fifth target is not counted.
struct Batch {
  std::vector<int32_t> ids, targets;  // [sequences * length]
  Micro micro;
  int64_t counted() const;
};
Batch random_batch(const GptConfig& config, int64_t sequences, int64_t length);

// 2 layers of 4 heads of 4, an odd vocabulary.
GptConfig little_gpt();

// The same size in every shape there is: GPT-2, GPT-1 (norms after), GPT-3 (every second layer
// banded), Llama (grouped, rotary, gated, without biases), and a GPT-2 without biases. Two tensor
// ranks fit them all.
struct NamedModel {
  std::string name;
  GptConfig config;
};
std::vector<NamedModel> little_models();

struct ModelOptions {
  StageRange range{};  // last_layer 0: the whole model
  Recompute recompute = Recompute::none;
  bool sequence_parallel = false;
  DType type = DType::f32;
  std::string backend = "reference";
  uint64_t seed = 3;
  bool fp8 = false;
};

// One rank's stage with its parameters, filled.
struct Model {
  Model(const GptConfig& config, Comm& tp, const ModelOptions& options = {});

  // Forward, loss and backward of one micro-batch; returns the loss sum. The stage is the whole
  // model.
  double step(const Batch& batch, bool postpone_weights = false);

  std::unique_ptr<Backend> backend;
  Params params;
  ModelContext context;
  GptStage stage;
};

using Values = std::vector<float>;
// Global gradients by parameter name, put together from every rank's boxes. Gradients of replicated
// parameters are summed over ranks under sequence parallelism, as the optimizer does.
struct StepResult {
  double loss = 0;
  std::map<std::string, Values> grads;
};
StepResult step_on_ranks(int tp, const GptConfig& config, const Batch& batch,
                         const ModelOptions& options = {});
StepResult step_alone(const GptConfig& config, const Batch& batch,
                      const ModelOptions& options = {});
// |a - b| / |b| over all elements.
double distance(const Values& a, const Values& b);

// One rank in a group of one.
std::unique_ptr<Comm> alone();

// A thing with a gradient: a module, or a pair of functions around one.
struct Pair {
  std::function<Tensor(const Tensor& x, Tape& tape)> forward;
  std::function<Tensor(const Tensor& dy, const Tensor& x, Tape& tape)> backward;
};
// Fills `params` with noise and holds the pair's gradients, with respect to x (when `x_grad`) and
// to every parameter, against central differences of a random projection of y, along the gradient
// and along a random direction. The tape must be empty afterwards.
void expect_gradients(Backend& backend, Params& params, const Pair& pair, const Tensor& x,
                      const Micro& micro, bool x_grad = true);

}  // namespace katman::testing
