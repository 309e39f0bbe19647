#include "core/model/task_head.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/model.h"

namespace katman::testing {
namespace {

constexpr int64_t hidden = 6, length = 5;

struct Case {
  const char* name;
  TaskShape shape;
  TaskRows rows;
};

std::vector<Case> cases() {
  return {
      {"classes", {.sequences = 1, .classes = 3, .dropout = 0.2f}, {{4, 0, 2, 1}, {2, 0, -1, 1}}},
      {"both orders", {.sequences = 2, .classes = 2}, {{4, 3, 1, 1}, {1, 0}}},
      {"choices", {.sequences = 2, .classes = 0, .dropout = 0.2f}, {{4, 3, 1, 2}, {1, 0}}},
      {"absent choices", {.sequences = 4, .classes = 0}, {{4, 3, 2, -1}, {1}}},
  };
}

Micro micro_of(const Case& c) {
  Micro micro;
  micro.sequences = static_cast<int64_t>(c.rows.extract.size());
  micro.length = length;
  micro.first_sequence = 8;
  return micro;
}

TEST(TaskHead, has_the_gradient_of_finite_differences) {
  const auto tp = alone();
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const auto backend = make_backend("reference");
    Params params;
    const ModelContext context{*backend, *tp, DType::f32, false, Key(1)};
    const TaskHead head(context, params, c.shape, hidden);
    Tensor dh;
    const auto forward = [&](const Tensor& h, Tape& tape) {
      const Tensor sum = backend->zeros({1}, DType::f32);
      dh = tape.recording() ? backend->zeros(h.shape(), DType::f32) : Tensor();
      head.loss(h, tape.micro, c.rows, sum, {}, dh);
      return sum;
    };
    const auto backward = [&](const Tensor& dy, const Tensor&, Tape&) {
      const float factor = read(*backend, dy)[0];
      for (const Bucket& bucket : params.buckets()) backend->scale(bucket.grad, factor);
      backend->scale(dh, factor);
      return dh;
    };
    const Micro micro = micro_of(c);
    const Tensor h = normal(*backend, {micro.sequences * length, hidden}, Key(5));
    expect_gradients(*backend, params, {forward, backward}, h, micro);
  }
}

struct Said {
  float loss;
  Values scores;
};

Said say(const Case& c, const Values& h) {
  const auto tp = alone();
  const auto backend = make_backend("reference");
  Params params;
  const ModelContext context{*backend, *tp, DType::f32, false, Key(1)};
  const TaskHead head(context, params, c.shape, hidden);
  params.allocate(*backend, DType::f32, 1 << 16, 64);
  for (Param& param : params.all())
    backend->copy(normal(*backend, param.value.shape(), Key(7).at(param.name)), param.value);
  Micro micro = micro_of(c);
  micro.training = false;
  const Tensor sum = backend->zeros({1}, DType::f32);
  const Tensor scores =
      backend->empty({micro.sequences / c.shape.sequences, c.shape.outputs()}, DType::f32);
  head.loss(make(*backend, {micro.sequences * length, hidden}, h), micro, c.rows, sum, scores, {});
  return {read(*backend, sum)[0], read(*backend, scores)};
}

Values some_hidden_states(int64_t sequences) {
  const auto backend = make_backend("reference");
  return read(*backend, normal(*backend, {sequences * length, hidden}, Key(5)));
}

TEST(TaskHead, adds_two_orders_so_that_neither_comes_first) {
  const Case c = cases()[1];
  Case swapped = c;
  std::swap(swapped.rows.extract[0], swapped.rows.extract[1]);
  Values h = some_hidden_states(4);
  const Said one = say(c, h);
  std::swap_ranges(h.begin(), h.begin() + length * hidden, h.begin() + length * hidden);
  const Said other = say(swapped, h);
  EXPECT_EQ(one.loss, other.loss);
  EXPECT_EQ(one.scores, other.scores);
}

TEST(TaskHead, a_choice_that_is_not_there_has_no_probability) {
  const Case four = cases()[3];
  Case three = four;
  three.shape.sequences = 3;
  three.rows.extract.pop_back();
  Values h = some_hidden_states(4);
  const Said with = say(four, h);
  h.resize(3 * length * hidden);
  const Said without = say(three, h);
  EXPECT_EQ(with.loss, without.loss);
  EXPECT_LT(with.scores[3], -1e29f);
  EXPECT_EQ(Values(with.scores.begin(), with.scores.begin() + 3), without.scores);
}

TEST(TaskHead, the_loss_is_the_cross_entropy_of_the_examples_that_have_a_label) {
  const Case c = cases()[0];
  const Said said = say(c, some_hidden_states(4));
  double loss = 0;
  for (size_t example = 0; example < 4; ++example) {
    if (c.rows.labels[example] < 0) continue;
    const float* scores = &said.scores[3 * example];
    double sum = 0;
    for (int i = 0; i < 3; ++i) sum += std::exp(scores[i]);
    loss += std::log(sum) - scores[c.rows.labels[example]];
  }
  EXPECT_NEAR(said.loss, loss, 1e-5);
}

}  // namespace
}  // namespace katman::testing
