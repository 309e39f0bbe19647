#include "core/model/lora.h"

#include <gtest/gtest.h>

#include "core/model/linear.h"
#include "tests/support/model.h"

namespace katman::testing {
namespace {

const Lora everywhere = {.rank = 2, .alpha = 6, .on = {"qkv", "proj", "up", "down"}};

// The gradients of everything, frozen weights included: what is frozen is a matter of storage.
TEST(LoraLinear, has_the_gradient_of_finite_differences) {
  const auto tp = alone();
  for (const bool column : {true, false}) {
    const auto backend = make_backend("reference");
    Params params;
    const ModelContext context{*backend, *tp, DType::f32, false, Key(1), everywhere};
    std::optional<ColumnParallel> up;
    std::optional<RowParallel> down;
    if (column)
      up.emplace(context, params, "h.0.mlp.up", 6, 8, Init{}, true);
    else
      down.emplace(context, params, "h.0.mlp.down", 6, 8, Init{}, true);
    Micro micro;
    micro.sequences = 2;
    micro.length = 3;
    const auto forward = [&](const Tensor& x, Tape&) {
      return column ? up->forward(x) : down->forward(x);
    };
    const auto backward = [&](const Tensor& dy, const Tensor& x, Tape& tape) {
      return column ? up->backward(dy, x, tape) : down->backward(dy, x, tape);
    };
    EXPECT_EQ(params.all().size(), 4u);
    expect_gradients(*backend, params, {forward, backward}, normal(*backend, {6, 6}, Key(2)),
                     micro);
  }
}

TEST(LoraLinear, a_fused_activation_is_the_same_with_an_adapter_that_is_zero) {
  const auto tp = alone();
  const auto backend = make_backend("reference");
  const auto pass = [&](const Lora& lora) {
    Params params;
    const ModelContext context{*backend, *tp, DType::f32, false, Key(1), lora};
    const ColumnParallel up(context, params, "h.0.mlp.up", 6, 8, Init{}, true);
    const RowParallel down(context, params, "h.0.mlp.down", 8, 6, Init{}, true);
    params.allocate(*backend, DType::f32, 1 << 16, 64);
    params.initialise(*backend, Key(3));
    const Tensor x = normal(*backend, {4, 6}, Key(2));
    const Tensor before = backend->empty({4, 8}, DType::f32);
    const Tensor after = up.forward_gelu(x, before);
    Tape tape(Micro{});
    const Values back = read(*backend, down.backward(x, after, tape, before));
    return std::pair(read(*backend, down.forward(after)), back);
  };
  const auto plain = pass({}), adapted = pass(everywhere);
  EXPECT_EQ(plain.first, adapted.first);
  EXPECT_LT(distance(adapted.second, plain.second), 1e-6);
}

TEST(Lora, adapts_the_matrices_it_names) {
  Lora lora = everywhere;
  lora.on = {"qkv"};
  EXPECT_TRUE(lora.adapts("h.3.attn.qkv"));
  EXPECT_FALSE(lora.adapts("h.3.attn.proj"));
  EXPECT_FALSE(Lora().adapts("h.3.attn.qkv"));
}

}  // namespace
}  // namespace katman::testing
