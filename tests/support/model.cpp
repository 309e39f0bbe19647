#include "tests/support/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "parallel/comm/threads.h"
#include "tests/support/backends.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {

double dot(const Values& a, const Values& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
                            [](float x, float y) { return static_cast<double>(x) * y; });
}

// The gradient's own direction plus an unrelated one of the same length: a wrong gradient cannot
// hide from the first, nor a gradient with a part missing from the second.
Values direction_for(const Values& grad, Key key) {
  const double norm = std::sqrt(dot(grad, grad) / static_cast<double>(grad.size()));
  Values direction(grad.size());
  for (size_t i = 0; i < grad.size(); ++i)
    direction[i] = grad[i] + static_cast<float>(norm) * random_normal(key, i);
  const auto length = static_cast<float>(std::sqrt(dot(direction, direction)));
  for (float& d : direction) d /= std::max(length, 1e-20f);
  return direction;
}

void add_box(const Param& param, const Values& mine, Values& global) {
  global.resize(static_cast<size_t>(param.global.elements()));
  copy_box(param.mine, param.mine, reinterpret_cast<const std::byte*>(mine.data()),
           Box::whole(param.global), reinterpret_cast<std::byte*>(global.data()), sizeof(float));
}

}  // namespace

Tensor make(Backend& backend, const Shape& shape, const std::vector<float>& values) {
  const Tensor t = backend.empty(shape, DType::f32);
  backend.upload(values.data(), t);
  return t;
}

Tensor make_ids(Backend& backend, const std::vector<int32_t>& ids) {
  const Tensor t = backend.empty({static_cast<int64_t>(ids.size())}, DType::i32);
  backend.upload(ids.data(), t);
  return t;
}

Tensor normal(Backend& backend, const Shape& shape, Key key, float deviation) {
  Values values(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = deviation * random_normal(key, i);
  return make(backend, shape, values);
}

std::vector<float> read(Backend& backend, const Tensor& t) {
  Tensor wide = t;
  if (t.dtype() != DType::f32) {
    wide = backend.empty(t.shape(), DType::f32);
    backend.cast(t, wide);
  }
  Values values(static_cast<size_t>(t.elements()));
  backend.download(wide, values.data());
  return values;
}

int64_t Batch::counted() const {
  return std::ranges::count_if(targets, [](int32_t target) { return target >= 0; });
}

Batch random_batch(const GptConfig& config, int64_t sequences, int64_t length) {
  Batch batch;
  batch.micro.sequences = sequences;
  batch.micro.length = length;
  batch.micro.first_sequence = 6;
  const auto vocabulary = static_cast<uint64_t>(config.vocabulary);
  for (uint64_t i = 0; i < static_cast<uint64_t>(sequences * length); ++i) {
    batch.ids.push_back(static_cast<int32_t>(random_bits(Key(1), i) % vocabulary));
    batch.targets.push_back(i % 5 == 4 ? -1
                                       : static_cast<int32_t>(random_bits(Key(2), i) % vocabulary));
  }
  return batch;
}

GptConfig little_gpt() {
  GptConfig config;
  config.layers = 2;
  config.hidden = 16;
  config.heads = 4;
  config.sequence = 8;
  config.vocabulary = 37;
  return config;
}

std::vector<NamedModel> little_models() {
  GptConfig gpt1 = little_gpt(), gpt3 = little_gpt(), llama = little_gpt(), bare = little_gpt();
  gpt1.norm_place = NormPlace::after;
  gpt1.scaled_init = false;
  gpt1.position_deviation = 0.02f;
  gpt3.window = 3;
  llama.kv_groups = 2;
  llama.feed_forward = 32;
  llama.norm = NormKind::rms;
  llama.activation = Activation::swiglu;
  llama.positions = Positions::rotary;
  llama.rotary = {.theta = 100, .factor = 4, .original = 32};
  llama.biases = false;
  llama.tied_embedding = false;
  bare.biases = false;
  return {{"gpt2", little_gpt()}, {"gpt1", gpt1}, {"gpt3", gpt3}, {"llama", llama}, {"bare", bare}};
}

Model::Model(const GptConfig& config, Comm& tp, const ModelOptions& options)
    : backend(test_backend(options.backend)),
      context{*backend,          tp, options.type, options.sequence_parallel,
              Key(options.seed), {}, options.fp8},
      stage(config,
            options.range.last_layer ? options.range : StageRange{0, config.layers, true, true},
            context, params, options.recompute) {
  params.allocate(*backend, options.type, 1 << 16, 64);
  params.initialise(*backend, Key(options.seed));
}

double Model::step(const Batch& batch, bool postpone_weights) {
  Tape tape(batch.micro);
  tape.defer(postpone_weights);
  const Tensor sum = backend->zeros({1}, DType::f32);
  const Tensor h = stage.forward(make_ids(*backend, batch.ids), tape);
  stage.loss(h, make_ids(*backend, batch.targets), sum, tape);
  stage.backward({}, tape);
  EXPECT_EQ(tape.size(), 0u);
  EXPECT_EQ(tape.empty(), !postpone_weights);
  tape.flush();
  EXPECT_TRUE(tape.empty());
  return read(*backend, sum)[0];
}

StepResult step_on_ranks(int tp, const GptConfig& config, const Batch& batch,
                         const ModelOptions& options) {
  StepResult whole;
  std::mutex mutex;
  run_ranks(tp, [&](Comm& world) {
    Model model(config, world, options);
    const double loss = model.step(batch);
    for (const Param& param : model.params.all())
      if (param.replicated && options.sequence_parallel) world.all_reduce(param.grad).wait();
    const std::lock_guard lock(mutex);
    if (world.rank() == 0) whole.loss = loss;
    for (const Param& param : model.params.all())
      add_box(param, read(*model.backend, param.grad), whole.grads[param.name]);
  });
  return whole;
}

StepResult step_alone(const GptConfig& config, const Batch& batch, const ModelOptions& options) {
  return step_on_ranks(1, config, batch, options);
}

double distance(const Values& a, const Values& b) {
  Values difference(a.size());
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b.at(i);
  const double size = std::sqrt(dot(b, b)), apart = std::sqrt(dot(difference, difference));
  return size > 0 ? apart / size : apart;
}

std::unique_ptr<Comm> alone() { return ThreadWorld(1).comm(0); }

void expect_gradients(Backend& backend, Params& params, const Pair& pair, const Tensor& x,
                      const Micro& micro, bool x_grad) {
  const Key key(11);
  params.allocate(backend, DType::f32, 1 << 16, 64);
  for (Param& param : params.all()) {
    const Tensor noise = normal(backend, param.value.shape(), key.at(param.name), 0.3f);
    backend.upload(initial_values(param, key).data(), param.value);
    backend.add(param.value, noise, param.value);
  }
  backend.weights_changed();

  Tape tape(micro);
  const Tensor y = pair.forward(x, tape);
  const Values projection = read(backend, normal(backend, y.shape(), key.at("projection")));
  const Tensor dx = pair.backward(make(backend, y.shape(), projection), x, tape);
  EXPECT_TRUE(tape.empty());
  EXPECT_EQ(static_cast<bool>(dx), x_grad);

  const auto value = [&] {
    Tape unused(micro, false);
    backend.weights_changed();
    return dot(read(backend, pair.forward(x, unused)), projection);
  };
  const auto check = [&](const std::string& name, const Tensor& at, const Tensor& gradient) {
    const Values grad = read(backend, gradient), start = read(backend, at);
    const Values direction = direction_for(grad, key.at("direction").at(name));
    const auto moved = [&](float step) {
      Values there = start;
      for (size_t i = 0; i < there.size(); ++i) there[i] += step * direction[i];
      backend.upload(there.data(), at);
      return value();
    };
    const float step = 1e-2f;
    const double slope = (moved(step) - moved(-step)) / (2 * static_cast<double>(step));
    backend.upload(start.data(), at);
    const double expected = dot(grad, direction), scale = std::sqrt(dot(grad, grad));
    EXPECT_GT(scale, 0) << name << " has no gradient at all";
    EXPECT_NEAR(slope, expected, 3e-3 * scale + 1e-4) << name;
  };
  if (x_grad) check("x", x, dx);
  for (const Param& param : params.all()) check(param.name, param.value, param.grad);
}

}  // namespace katman::testing
