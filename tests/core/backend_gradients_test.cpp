// Every gradient of the reference against central differences of its own forward pass.
#include <gtest/gtest.h>

#include "tests/support/backend_harness.h"

namespace katman {
namespace {
using namespace testing;
using Tensors = std::vector<Tensor>;

TEST(ReferenceGradients, gelu) {
  check_against_differences(
      "gelu", {in({4, 9}, 2), out({4, 9})},
      [](Backend& b, const Tensors& t) { b.gelu(t[0], t[1]); },
      [](Backend& b, const Tensors& t, const Tensors& dy) -> Tensors {
        const Tensor dx = b.empty({4, 9}, DType::f32);
        b.gelu_grad(dy[0], t[0], dx);
        return {dx};
      });
}

TEST(ReferenceGradients, swiglu) {
  check_against_differences(
      "swiglu", {in({4, 18}, 2), out({4, 9})},
      [](Backend& b, const Tensors& t) { b.swiglu(t[0], t[1]); },
      [](Backend& b, const Tensors& t, const Tensors& dy) -> Tensors {
        const Tensor dx = b.empty({4, 18}, DType::f32);
        b.swiglu_grad(dy[0], t[0], dx);
        return {dx};
      });
}

TEST(ReferenceGradients, product_with_bias_and_gelu) {
  using enum Gemm::Epilogue;
  check_against_differences(
      "gemm bias_gelu", {in({5, 7}, 0.5), in({7, 6}, 0.5), in({6}), out({5, 6})},
      [](Backend& b, const Tensors& t) {
        b.gemm({.a = t[0],
                .b = t[1],
                .c = t[3],
                .epilogue = bias_gelu,
                .bias = t[2],
                .aux = b.empty({5, 6}, DType::f32)});
      },
      [](Backend& b, const Tensors& t, const Tensors& dy) -> Tensors {
        const Tensor y = b.empty({5, 6}, DType::f32), aux = b.empty({5, 6}, DType::f32);
        b.gemm({.a = t[0], .b = t[1], .c = y, .epilogue = bias_gelu, .bias = t[2], .aux = aux});
        // gelu_grad belongs to the product behind the GELU: here that one is the identity.
        std::vector<float> identity(36, 0.0f);
        for (size_t i = 0; i < 6; ++i) identity[7 * i] = 1;
        const Tensor one = b.empty({6, 6}, DType::f32), dh = b.empty({5, 6}, DType::f32);
        b.upload(identity.data(), one);
        b.gemm({.a = dy[0], .b = one, .c = dh, .epilogue = gelu_grad, .aux = aux});
        const Tensor da = b.empty({5, 7}, DType::f32), dw = b.zeros({7, 6}, DType::f32);
        const Tensor dbias = b.zeros({6}, DType::f32);
        b.gemm({.a = dh, .b = t[1], .c = da, .b_transposed = true});
        b.gemm({.a = t[0], .b = dh, .c = dw, .a_transposed = true, .accumulate = true});
        b.bias_grad(dh, dbias);
        return {da, dw, dbias};
      });
}

TEST(ReferenceGradients, layernorm) {
  const auto forward = [](Backend& b, const Tensors& t, const Tensor& mean, const Tensor& rstd) {
    b.layernorm(t[0], {}, t[1], t[2], 1e-5f, {}, t[3], mean, rstd);
  };
  check_against_differences(
      "layernorm", {in({6, 11}), in({11}), in({11}), out({6, 11})},
      [=](Backend& b, const Tensors& t) {
        forward(b, t, b.empty({6}, DType::f32), b.empty({6}, DType::f32));
      },
      [=](Backend& b, const Tensors& t, const Tensors& dy) -> Tensors {
        const Tensor mean = b.empty({6}, DType::f32), rstd = b.empty({6}, DType::f32);
        forward(b, t, mean, rstd);
        const Tensor dx = b.empty({6, 11}, DType::f32);
        const Tensor dgamma = b.zeros({11}, DType::f32), dbeta = b.zeros({11}, DType::f32);
        b.layernorm_grad(dy[0], t[0], t[1], mean, rstd, {}, dx, dgamma, dbeta);
        return {dx, dgamma, dbeta};
      });
}

TEST(ReferenceGradients, rmsnorm) {
  check_against_differences(
      "rmsnorm", {in({6, 11}), in({11}), out({6, 11})},
      [](Backend& b, const Tensors& t) {
        b.rmsnorm(t[0], {}, t[1], 1e-5f, {}, t[2], b.empty({6}, DType::f32));
      },
      [](Backend& b, const Tensors& t, const Tensors& dy) -> Tensors {
        const Tensor rstd = b.empty({6}, DType::f32), dx = b.empty({6, 11}, DType::f32);
        const Tensor dgamma = b.zeros({11}, DType::f32);
        b.rmsnorm(t[0], {}, t[1], 1e-5f, {}, t[2], rstd);
        b.rmsnorm_grad(dy[0], t[0], t[1], rstd, {}, dx, dgamma);
        return {dx, dgamma};
      });
}

void check_attention_gradient(const char* what, AttentionShape s) {
  const int64_t rows = s.sequences * s.length;
  const Shape out_shape{rows, s.heads() * s.head_dim};
  check_against_differences(
      what, {in({rows, s.qkv_columns()}), out(out_shape)},
      [=](Backend& b, const Tensors& t) {
        b.attention(t[0], s, t[1], b.empty({s.heads(), rows}, DType::f32));
      },
      [=](Backend& b, const Tensors& t, const Tensors& dy) -> Tensors {
        const Tensor lse = b.empty({s.heads(), rows}, DType::f32);
        const Tensor dqkv = b.empty(t[0].shape(), DType::f32);
        b.attention(t[0], s, t[1], lse);
        b.attention_grad(dy[0], t[0], t[1], lse, s, dqkv);
        return {dqkv};
      });
}

TEST(ReferenceGradients, attention_with_one_query_head_per_group) {
  check_attention_gradient("attention", {.sequences = 2, .length = 7, .groups = 2, .head_dim = 5});
}

TEST(ReferenceGradients, attention_with_shared_keys_a_window_and_dropout) {
  AttentionShape s{.sequences = 2, .length = 9, .groups = 2, .queries_per_group = 2, .head_dim = 4};
  s.window = 4;
  s.dropout = 0.3f;
  s.dropout_key = Key(3);
  check_attention_gradient("attention grouped, windowed, dropped", s);
}

Tensor frequencies_on(Backend& backend, const std::vector<float>& values) {
  const Tensor frequencies = backend.empty({static_cast<int64_t>(values.size())}, DType::f32);
  backend.upload(values.data(), frequencies);
  return frequencies;
}

TEST(ReferenceGradients, rope) {
  const AttentionShape s{.sequences = 1, .length = 5, .groups = 2, .head_dim = 6};
  const Shape x{5, s.qkv_columns()};
  check_against_differences(
      "rope", {in(x), out(x)},
      [=](Backend& b, const Tensors& t) {
        b.copy(t[0], t[1]);
        b.rope(t[1], s, frequencies_on(b, {1, 0.2f, 0.05f}), 3, 1);
      },
      [=](Backend& b, const Tensors&, const Tensors& dy) -> Tensors {
        const Tensor dx = b.empty(x, DType::f32);
        b.copy(dy[0], dx);
        b.rope(dx, s, frequencies_on(b, {1, 0.2f, 0.05f}), 3, -1);
        return {dx};
      });
}

TEST(ReferenceGradients, embedding) {
  const std::vector<int> ids = {2, 0, 2, 6, 3, 1};
  check_against_differences(
      "embed", {in_i32(ids), in({5, 4}), in({4, 4}), out({6, 4})},
      [](Backend& b, const Tensors& t) { b.embed(t[0], t[1], 0, t[2], 3, 1, t[3]); },
      [](Backend& b, const Tensors& t, const Tensors& dy) -> Tensors {
        const Tensor dtable = b.zeros({5, 4}, DType::f32), dpositions = b.zeros({4, 4}, DType::f32);
        b.embed_grad(dy[0], t[0], 0, 3, 1, dtable, dpositions);
        return {dtable, dpositions};
      });
}

TEST(ReferenceGradients, cross_entropy_is_the_gradient_of_its_own_loss) {
  const std::vector<int> targets = {4, -1, 0, 8};
  const auto loss = [](Backend& b, const Tensor& x, const Tensor& ids, const Tensor& out) {
    const Tensor stats = b.empty({4, 3}, DType::f32);
    b.xent_stats(x, ids, 0, 9, stats);
    b.xent_finish(x, ids, 0, 9, stats, true, out);
  };
  check_against_differences(
      "cross-entropy", {in({4, 12}), in_i32(targets), out_f32({4})},
      [=](Backend& b, const Tensors& t) {
        const Tensor x = b.empty({4, 12}, DType::f32);
        b.copy(t[0], x);
        loss(b, x, t[1], t[2]);
      },
      [=](Backend& b, const Tensors& t, const Tensors& dloss) -> Tensors {
        const Tensor dx = b.empty({4, 12}, DType::f32);
        b.copy(t[0], dx);
        loss(b, dx, t[1], b.empty({4}, DType::f32));
        for (int64_t row = 0; row < 4; ++row)
          b.scale(dx.slice(row, 1), dloss[0].data<float>()[row]);
        return {dx};
      });
}

}  // namespace
}  // namespace katman
