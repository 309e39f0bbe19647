// Every part of a layer against finite differences, and the two ends of the model.
#include <gtest/gtest.h>

#include "core/model/block.h"
#include "core/model/embedding.h"
#include "core/model/head.h"
#include "core/model/linear.h"
#include "tests/support/model.h"

namespace katman::testing {
namespace {

class Layers : public ::testing::Test {
 protected:
  Pair around(Module& module) {
    return {[&module](const Tensor& x, Tape& tape) { return module.forward(x, tape); },
            [&module](const Tensor& dy, const Tensor& x, Tape& tape) {
              return module.backward(dy, x, tape);
            }};
  }
  Pair around(Block& block) {
    return {
        [this, &block](const Tensor& x, Tape& tape) {
          return settle(context, block.forward({x, {}}, tape));
        },
        [&block](const Tensor& dy, const Tensor&, Tape& tape) { return block.backward(dy, tape); }};
  }
  Tensor activation(int64_t columns) { return normal(*backend, {rows, columns}, Key(9)); }

  GptConfig config = little_gpt();
  Micro micro = random_batch(config, 2, 6).micro;
  int64_t rows = 12;
  std::unique_ptr<Backend> backend = make_backend("reference");
  std::unique_ptr<Comm> tp = alone();
  ModelContext context{*backend, *tp, DType::f32, false, Key(1)};
  Params params;
};

TEST_F(Layers, a_column_parallel_product_has_the_gradient_of_finite_differences) {
  ColumnParallel linear(context, params, "linear", 16, 24, config.weight_init(), true);
  expect_gradients(
      *backend, params,
      {[&](const Tensor& x, Tape&) { return linear.forward(x); },
       [&](const Tensor& dy, const Tensor& x, Tape& tape) { return linear.backward(dy, x, tape); }},
      activation(16), micro);
}

TEST_F(Layers, a_row_parallel_product_has_the_gradient_of_finite_differences) {
  RowParallel linear(context, params, "linear", 24, 16, config.weight_init(), true);
  expect_gradients(
      *backend, params,
      {[&](const Tensor& x, Tape&) { return linear.forward(x); },
       [&](const Tensor& dy, const Tensor& x, Tape& tape) { return linear.backward(dy, x, tape); }},
      activation(24), micro);
}

TEST_F(Layers, a_norm_has_the_gradient_of_finite_differences) {
  Norm norm(context, params, "ln", config);
  Norm::Saved saved;
  const auto forward = [&](const Tensor& x, Tape&) {
    return norm.forward({x, normal(*backend, {rows, 16}, Key(4))}, saved);
  };
  const auto backward = [&](const Tensor& dy, const Tensor&, Tape&) {
    return norm.backward(dy, saved, {});
  };
  expect_gradients(*backend, params, {forward, backward}, activation(16), micro);
}

TEST_F(Layers, a_norm_gives_the_same_bits_again) {
  Norm norm(context, params, "ln", config);
  params.allocate(*backend, DType::f32, 1 << 16, 64);
  params.initialise(*backend, Key(1));
  Norm::Saved saved;
  const Tensor y = norm.forward({activation(16), normal(*backend, {rows, 16}, Key(4))}, saved);
  EXPECT_EQ(read(*backend, norm.again(saved)), read(*backend, y));
}

TEST_F(Layers, attention_has_the_gradient_of_finite_differences) {
  for (const float dropout : {0.0f, 0.3f}) {
    config.dropout = dropout;
    Params own;
    Attention attention(context, own, "h.0.attn", config, 0, 0);
    expect_gradients(*backend, own, around(attention), activation(16), micro);
  }
}

TEST_F(Layers, attention_inside_documents_has_the_gradient_of_finite_differences) {
  micro.document_start = make_ids(*backend, {0, 0, 2, 2, 2, 5, 0, 1, 1, 1, 1, 1});
  Attention attention(context, params, "h.0.attn", config, 0, 0);
  expect_gradients(*backend, params, around(attention), activation(16), micro);
}

TEST_F(Layers, the_feed_forward_half_has_the_gradient_of_finite_differences) {
  for (const bool recompute : {false, true}) {
    Params own;
    Mlp mlp(context, own, "h.0.mlp", config, recompute);
    expect_gradients(*backend, own, around(mlp), activation(16), micro);
  }
}

TEST_F(Layers, a_block_has_the_gradient_of_finite_differences_whatever_it_recomputes) {
  for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
    for (const float dropout : {0.0f, 0.2f}) {
      config.dropout = dropout;
      Params own;
      Block block(context, own, config, 1, 0, recompute);
      expect_gradients(*backend, own, around(block), activation(16), micro);
    }
  }
}

TEST_F(Layers, blocks_of_every_shape_have_the_gradient_of_finite_differences) {
  for (const auto& [name, shape] : little_models())
    for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      SCOPED_TRACE(name);
      config = shape;
      config.dropout = recompute == Recompute::none ? 0.0f : 0.2f;
      Params own;
      Block block(context, own, config, 1, 0, recompute);
      expect_gradients(*backend, own, around(block), activation(16), micro);
    }
}

TEST_F(Layers, documents_with_positions_of_their_own_have_the_gradient_of_finite_differences) {
  micro.document_start = make_ids(*backend, {0, 0, 2, 2, 2, 5, 0, 1, 1, 1, 1, 1});
  micro.places = make_ids(*backend, {0, 1, 0, 1, 2, 0, 0, 0, 1, 2, 3, 4});
  for (const auto& [name, shape] : little_models()) {
    SCOPED_TRACE(name);
    Params own;
    Block block(context, own, shape, 1, 0, Recompute::none);
    expect_gradients(*backend, own, around(block), activation(16), micro);
    if (shape.positions == Positions::rotary) continue;
    Params ends;
    Param& table = ends.declare(vocabulary_param(shape, *tp, "wte.weight", false));
    Embedding embedding(context, ends, shape, table);
    expect_gradients(*backend, ends, around(embedding),
                     make_ids(*backend, random_batch(shape, 2, 6).ids), micro, false);
  }
}

TEST_F(Layers, the_embedding_has_the_gradient_of_finite_differences) {
  config.dropout = 0.2f;
  Param& table = params.declare(vocabulary_param(config, *tp, "wte.weight", false));
  Embedding embedding(context, params, config, table);
  const auto batch = random_batch(config, 2, 6);
  expect_gradients(*backend, params, around(embedding), make_ids(*backend, batch.ids), micro,
                   false);
}

TEST_F(Layers, the_head_has_the_gradient_of_finite_differences_however_many_chunks_it_takes) {
  const auto batch = random_batch(config, 2, 6);
  const Tensor targets = make_ids(*backend, batch.targets);
  for (const int64_t chunk_bytes : {int64_t{1}, int64_t{1200}, int64_t{1} << 20}) {
    Params own;
    const Param& table = own.declare(vocabulary_param(config, *tp, "head.weight", false));
    const Head head(context, table, chunk_bytes);
    // The projection of a single number is a factor; the head's gradient is that of the sum itself.
    const auto forward = [&](const Tensor& h, Tape&) {
      const Tensor sum = backend->zeros({1}, DType::f32);
      head.loss(h, targets, sum, false);
      return sum;
    };
    const auto backward = [&](const Tensor& dy, const Tensor& h, Tape&) {
      const Tensor dh = head.loss(h, targets, backend->zeros({1}, DType::f32), true);
      const float factor = read(*backend, dy)[0];
      backend->scale(dh, factor);
      backend->scale(table.grad, factor);
      return dh;
    };
    expect_gradients(*backend, own, {forward, backward}, activation(16), micro);
  }
}

TEST_F(Layers, spare_rows_of_the_vocabulary_stay_without_gradient) {
  const Param& table = params.declare(vocabulary_param(config, *tp, "head.weight", false));
  ASSERT_GT(table.spare_rows, 0);
  params.allocate(*backend, DType::f32, 1 << 16, 64);
  params.initialise(*backend, Key(1));
  const Head head(context, table);
  const auto batch = random_batch(config, 2, 6);
  head.loss(activation(16), make_ids(*backend, batch.targets), backend->zeros({1}, DType::f32),
            true);
  const auto grad = read(*backend, table.padded_grad);
  const auto mine = static_cast<size_t>(table.mine.elements());
  for (size_t i = mine; i < grad.size(); ++i) ASSERT_EQ(grad[i], 0) << i;
  EXPECT_NE(grad[mine - 1], 0);
}

}  // namespace
}  // namespace katman::testing
