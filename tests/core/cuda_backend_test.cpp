// What the CUDA backend promises besides single operations, on an emulated device (see
// tests/emulated_cuda/cuda_runtime.h) and on a real one where there is one.
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/backends.h"
#include "tests/support/model.h"

namespace katman::testing {
namespace {

class CudaBackendTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const auto why = why_absent(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_P(CudaBackendTest, a_step_of_the_model_has_the_gradients_of_the_reference) {
  for (const float dropout : {0.0f, 0.2f}) {
    GptConfig config = little_gpt();
    config.dropout = dropout;
    const Batch batch = random_batch(config, 2, 6);
    const StepResult expected = step_alone(config, batch);
    const StepResult found = step_alone(config, batch, {.backend = GetParam()});
    EXPECT_NEAR(found.loss, expected.loss, 1e-5 * expected.loss);
    for (const auto& [name, grad] : expected.grads)
      EXPECT_LT(distance(found.grads.at(name), grad), 1e-4) << name << ", dropout " << dropout;
  }
}

TEST_P(CudaBackendTest, a_step_in_bf16_stays_as_near_as_the_references) {
  const GptConfig config = little_gpt();
  const Batch batch = random_batch(config, 2, 6);
  const StepResult truth = step_alone(config, batch);
  const StepResult rounded = step_alone(config, batch, {.type = DType::bf16});
  const StepResult found = step_alone(config, batch, {.type = DType::bf16, .backend = GetParam()});
  for (const auto& [name, grad] : truth.grads)
    EXPECT_LT(distance(found.grads.at(name), grad), 2.5 * distance(rounded.grads.at(name), grad))
        << name;
}

TEST_P(CudaBackendTest, memory_is_asked_for_in_the_first_step_only) {
  const auto tp = alone();
  const GptConfig config = little_gpt();
  for (const bool fp8 : {false, true}) {
    Model model(config, *tp, {.type = DType::bf16, .backend = GetParam(), .fp8 = fp8});
    const Batch batch = random_batch(config, 2, 8);  // as many tokens as 8-bit products take
    model.step(batch);
    const int64_t calls = model.backend->pool().usage().device_calls;
    for (int step = 0; step < 3; ++step) model.step(batch);
    EXPECT_EQ(model.backend->pool().usage().device_calls, calls) << "fp8 " << fp8;
  }
}

TEST_P(CudaBackendTest, a_tensor_larger_than_the_staging_ring_comes_back_as_it_went) {
  const auto backend = test_backend(GetParam());
  std::vector<float> there((11 << 18) + 5), back(there.size());  // 11 pieces and a bit
  for (size_t i = 0; i < there.size(); ++i) there[i] = random_uniform(Key(4), i);
  const Tensor t = backend->empty({static_cast<int64_t>(there.size())}, DType::f32);
  backend->upload(there.data(), t);
  backend->download(t, back.data());
  EXPECT_EQ(there, back);
}

TEST_P(CudaBackendTest, heads_that_are_too_large_are_refused) {
  const auto backend = test_backend(GetParam());
  const AttentionShape shape{.sequences = 1, .length = 2, .groups = 1, .head_dim = 320};
  const Tensor qkv = backend->zeros({2, shape.qkv_columns()}, DType::f32);
  const Tensor out = backend->zeros({2, 320}, DType::f32), lse = backend->zeros({1, 2}, DType::f32);
  EXPECT_THROW(backend->attention(qkv, shape, out, lse), Error);
}

TEST_P(CudaBackendTest, a_trace_holds_what_the_device_did_meanwhile_and_nothing_else) {
  const auto backend = test_backend(GetParam());
  const CudaLibrary library = cuda_library(GetParam());
  const Tensor x = backend->zeros({64}, DType::f32), y = backend->zeros({64}, DType::f32);
  const auto traced = [&](const std::function<void()>& work) {
    backend->add(x, y, y);  // before it: not in it
    library.start_trace();
    work();
    std::vector<std::string> names;
    int64_t reached = 0;
    for (const CudaActivity& activity : library.finish_trace()) {
      EXPECT_GE(activity.begin_ns, reached) << "one stream, one thing after another";
      EXPECT_GE(activity.end_ns, activity.begin_ns);
      reached = activity.end_ns;
      names.push_back(activity.name);
    }
    return names;
  };
  if (const auto why = why_no_trace(GetParam()); !why.empty()) GTEST_SKIP() << why;
  EXPECT_TRUE(traced([] {}).empty());
  const auto names = traced([&] {
    backend->fill_zero(x);
    for (int i = 0; i < 300; ++i) backend->add(x, y, y);  // more than a buffer of the emulation
    backend->copy(x, y);
  });
  ASSERT_EQ(names.size(), 302u);
  EXPECT_EQ(names.front(), "fill");
  EXPECT_EQ(names.back(), "copy");
  EXPECT_NE(names[1].find("float"), std::string::npos) << "not demangled: " << names[1];
  EXPECT_EQ(traced([&] { backend->add(x, y, y); }).size(), 1u) << "a second trace starts anew";
}

INSTANTIATE_TEST_SUITE_P(all, CudaBackendTest, ::testing::Values("emulated", "cuda:0"),
                         [](const auto& info) {
                           return info.param == "emulated" ? "emulated" : "cuda_0";
                         });

TEST_P(CudaBackendTest, tf32_rounds_the_operands_of_f32_products_while_it_is_allowed) {
  const auto backend = test_backend(GetParam());
  const Tensor a = normal(*backend, {128, 256}, Key(1)), b = normal(*backend, {256, 128}, Key(2));
  const auto product = [&](bool tf32) {
    backend->allow_tf32(tf32);
    const Tensor c = backend->empty({128, 128}, DType::f32);
    backend->gemm({.a = a, .b = b, .c = c});
    return read(*backend, c);
  };
  const Values exact = product(false), rounded = product(true);
  EXPECT_GT(distance(rounded, exact), 1e-5);
  EXPECT_LT(distance(rounded, exact), 1e-3);
  EXPECT_EQ(product(false), exact);
}

// The emulated library proposes a second algorithm for every product, which always looks faster and
// adds in another order. The first one adds as the reference does.
TEST(EmulatedCuda, an_algorithm_that_is_faster_but_has_other_bits_is_not_taken_unless_allowed) {
  const auto product = [](const std::string& kind, bool any_order = false) {
    const auto backend = test_backend(kind);
    backend->allow_any_order(any_order);
    const Tensor a = normal(*backend, {16, 200}, Key(1)), b = normal(*backend, {200, 8}, Key(2));
    const Tensor c = backend->empty({16, 8}, DType::f32);
    backend->gemm({.a = a, .b = b, .c = c});
    return read(*backend, c);
  };
  const auto expected = product("reference");
  EXPECT_EQ(product("emulated"), expected);
  EXPECT_NE(product("emulated", true), expected);
}

}  // namespace
}  // namespace katman::testing
