// The operations beside products and attention, of every backend and type, against the reference,
// on shapes that divide nothing.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/conformance.h"
#include "tests/support/model.h"

namespace katman {
namespace {
using namespace testing;
using Tensors = std::vector<Tensor>;

class BackendConformance : public Conformance {};

TEST_P(BackendConformance, bias_grad_adds_the_columns) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {65, 33}, {300, 130}}) {
    check(fmt::format("bias_grad [{}, {}]", rows, width), {in({rows, width}), inout_f32({width})},
          [](Backend& backend, const Tensors& t) { backend.bias_grad(t[0], t[1]); });
  }
}

const std::vector<std::pair<int64_t, int64_t>> matrices = {{1, 1},     {3, 16},   {70, 33},
                                                           {129, 200}, {2, 1096}, {3, 2112}};

TEST_P(BackendConformance, layernorm_with_and_without_a_residual) {
  for (const auto& [rows, width] : matrices) {
    const Shape x{rows, width};
    check(fmt::format("layernorm [{}, {}]", rows, width),
          {in(x), in({width}), in({width}), out(x), out_f32({rows}), out_f32({rows})},
          [](Backend& backend, const Tensors& t) {
            backend.layernorm(t[0], {}, t[1], t[2], 1e-5f, {}, t[3], t[4], t[5]);
          });
    check(
        fmt::format("layernorm of a sum [{}, {}]", rows, width),
        {in(x), in(x), in({width}), in({width}), out(x), out(x), out_f32({rows}), out_f32({rows})},
        [](Backend& backend, const Tensors& t) {
          backend.layernorm(t[0], t[1], t[2], t[3], 1e-5f, t[4], t[5], t[6], t[7]);
        });
  }
}

TEST_P(BackendConformance, layernorm_grad_with_and_without_a_residual) {
  for (const auto& [rows, width] : matrices) {
    for (bool residual : {false, true}) {
      const Shape x{rows, width};
      check(fmt::format("layernorm_grad [{}, {}] residual={}", rows, width, residual),
            {in(x), in(x), in({width}), in({width}), in(x), out(x), inout_f32({width}),
             inout_f32({width})},
            [=](Backend& backend, const Tensors& t) {
              const Tensor y = backend.empty(x, t[0].dtype());
              const Tensor mean = backend.empty({x[0]}, DType::f32);
              const Tensor rstd = backend.empty({x[0]}, DType::f32);
              backend.layernorm(t[1], {}, t[2], t[3], 1e-2f, {}, y, mean, rstd);
              backend.layernorm_grad(t[0], t[1], t[2], mean, rstd, residual ? t[4] : Tensor(), t[5],
                                     t[6], t[7]);
            });
    }
  }
}

TEST_P(BackendConformance, rmsnorm_and_its_gradient) {
  for (const auto& [rows, width] : matrices) {
    const Shape x{rows, width};
    check(fmt::format("rmsnorm [{}, {}]", rows, width),
          {in(x), in(x), in({width}), in(x), out(x), out(x), out_f32({rows}), out(x),
           inout_f32({width})},
          [](Backend& backend, const Tensors& t) {
            backend.rmsnorm(t[0], t[1], t[2], 1e-5f, t[4], t[5], t[6]);
            backend.rmsnorm_grad(t[3], t[4], t[2], t[6], t[1], t[7], t[8]);
          });
  }
}

TEST_P(BackendConformance, elementwise_operations) {
  for (const auto& [rows, width] : matrices) {
    const Shape x{rows, width}, wide{rows, 2 * width};
    const auto what = [&, r = rows, w = width](const char* op) {
      return fmt::format("{} [{}, {}]", op, r, w);
    };
    check(what("add"), {in(x), in(x), out(x)},
          [](Backend& backend, const Tensors& t) { backend.add(t[0], t[1], t[2]); });
    check(what("add in place"), {inout(x), in(x)},
          [](Backend& backend, const Tensors& t) { backend.add(t[0], t[1], t[0]); });
    check(what("scale"), {inout(x)},
          [](Backend& backend, const Tensors& t) { backend.scale(t[0], 0.3f); });
    check(what("gelu"), {in(x, 3), out(x)},
          [](Backend& backend, const Tensors& t) { backend.gelu(t[0], t[1]); });
    check(what("gelu_grad in place"), {inout(x), in(x, 3)},
          [](Backend& backend, const Tensors& t) { backend.gelu_grad(t[0], t[1], t[0]); });
    check(what("swiglu"), {in(wide, 3), out(x)},
          [](Backend& backend, const Tensors& t) { backend.swiglu(t[0], t[1]); });
    check(what("swiglu_grad"), {in(x), in(wide, 3), out(wide)},
          [](Backend& backend, const Tensors& t) { backend.swiglu_grad(t[0], t[1], t[2]); });
    check(what("dropout"), {inout(x)}, [](Backend& backend, const Tensors& t) {
      backend.dropout(t[0], 0.3f, Key(9), 5, 2, 1000);
    });
    check(what("cast"), {in(x), out_f32(x), in_f32(x), out(x)},
          [](Backend& backend, const Tensors& t) {
            backend.cast(t[0], t[1]);
            backend.cast(t[2], t[3]);
          });
  }
}

TEST_P(BackendConformance, gelu_of_values_far_from_zero_is_the_identity_or_nothing) {
  Operand x = in({1, 6});
  x.values = {-1e30f, -40, -1e-30f, 1e-30f, 40, 1e30f};
  check("gelu of extremes", {x, out({1, 6})},
        [](Backend& backend, const Tensors& t) { backend.gelu(t[0], t[1]); });
  Operand ones = in({1, 6});
  ones.values = {1, 1, 1, 1, 1, 1};
  x.values = {-1e10f, -40, -1e-30f, 1e-30f, 40, 1e10f};
  check("gelu_grad of extremes", {ones, x, out({1, 6})},
        [](Backend& backend, const Tensors& t) { backend.gelu_grad(t[0], t[1], t[2]); });
}

TEST_P(BackendConformance, rope_turns_and_turns_back) {
  Operand frequencies = in_f32({10});
  for (int c = 0; c < 10; ++c)
    frequencies.values.push_back(std::pow(10000.0f, -0.1f * static_cast<float>(c)));
  for (int direction : {1, -1}) {
    check(fmt::format("rope direction={}", direction), {inout({2 * 19, 2 * 4 * 20}), frequencies},
          [=](Backend& backend, const Tensors& t) {
            const AttentionShape s{
                .sequences = 2, .length = 19, .groups = 2, .queries_per_group = 2, .head_dim = 20};
            backend.rope(t[0], s, t[1], 7, direction);
          });
  }
}

TEST_P(BackendConformance, embedding_and_its_gradient) {
  const std::vector<int> ids = {3, 14, 15, 9, 26, 5, 3, 58, 9, 79, 3, 23, 8, 46};  // in 2 sequences
  const auto rows = static_cast<int64_t>(ids.size());
  for (const auto& [positions, width] :
       {std::pair<bool, int64_t>{false, 33}, {true, 33}, {false, 40}, {true, 40}}) {
    const auto what = [&, p = positions, w = width](const char* op) {
      return fmt::format("{} positions={} width={}", op, p, w);
    };
    const Shape y{rows, width}, table{40, width}, places{12, width};
    check(what("embed"), {in_i32(ids), in(table), in(places), out(y)},
          [with = positions](Backend& backend, const Tensors& t) {
            backend.embed(t[0], t[1], 5, with ? t[2] : Tensor(), 7, 4, t[3]);
          });
    check(what("embed_grad"), {in(y), in_i32(ids), inout_f32(table), inout_f32(places)},
          [with = positions](Backend& backend, const Tensors& t) {
            backend.embed_grad(t[0], t[1], 5, 7, 4, t[2], with ? t[3] : Tensor());
          });
  }
}

TEST_P(BackendConformance, embedding_gradient_of_many_tokens) {
  std::vector<int> ids;
  for (uint64_t t = 0; t < 5000; ++t) {  // some of them frequent
    const uint64_t bits = random_bits(Key(6), t);
    ids.push_back(static_cast<int>(bits % 3 ? bits % 700 : bits % 2));
  }
  check("embed_grad of 5000 tokens", {in({5000, 4}), in_i32(ids), inout_f32({600, 4})},
        [](Backend& backend, const Tensors& t) {
          backend.embed_grad(t[0], t[1], 1, 1000, 0, t[2], {});
        });
}

TEST_P(BackendConformance, cross_entropy_whole_and_cut_over_two_ranks) {
  const std::vector<int> targets = {0, 99, -1, 50, 49, 72, 7};
  const auto rows = static_cast<int64_t>(targets.size());
  check("cross-entropy",
        {inout({rows, 112}, 3), in_i32(targets), out_f32({rows, 3}), out_f32({rows})},
        [](Backend& backend, const Tensors& t) {
          backend.xent_stats(t[0], t[1], 0, 100, t[2]);
          backend.xent_finish(t[0], t[1], 0, 100, t[2], true, t[3]);
        });
  check("cross-entropy over a long row",
        {inout({2, 5000}, 3), in_i32({4097, 3}), out_f32({2, 3}), out_f32({2})},
        [](Backend& backend, const Tensors& t) {
          backend.xent_stats(t[0], t[1], 0, 4999, t[2]);
          backend.xent_finish(t[0], t[1], 0, 4999, t[2], true, t[3]);
        });
  check("cross-entropy without a gradient",
        {inout({rows, 112}, 3), in_i32(targets), out_f32({rows})},
        [=](Backend& backend, const Tensors& t) {
          const Tensor stats = backend.empty({rows, 3}, DType::f32);
          backend.xent_stats(t[0], t[1], 0, 100, stats);
          backend.xent_finish(t[0], t[1], 0, 100, stats, false, t[2]);
        });
  check("cross-entropy of two ranks",
        {inout({rows, 50}, 3), inout({rows, 62}, 3), in_i32(targets), out_f32({2, rows, 3}),
         out_f32({rows}), out_f32({rows})},
        [=](Backend& backend, const Tensors& t) {
          backend.xent_stats(t[0], t[2], 0, 50, t[3].slice(0, 1));
          backend.xent_stats(t[1], t[2], 50, 50, t[3].slice(1, 1));
          backend.xent_finish(t[0], t[2], 0, 50, t[3], true, t[4]);
          backend.xent_finish(t[1], t[2], 50, 50, t[3], true, t[5]);
        });
}

TEST_P(BackendConformance, sums_over_buckets) {
  for (int64_t n : {1, 1000, 70001}) {
    check(fmt::format("sums of {}", n), {in_f32({n}), inout_f32({1}, 100), inout_f32({1}, 100)},
          [](Backend& backend, const Tensors& t) {
            backend.sum_squares(t[0], t[1]);
            backend.sum(t[0], t[2]);
          });
  }
}

TEST_P(BackendConformance, adamw_moves_master_and_writes_its_copy) {
  for (int64_t n : {1, 33, 5000}) {
    Operand v = inout_f32({n});
    for (int64_t e = 0; e < n; ++e) v.values.push_back(static_cast<float>(e % 7) * 0.1f);
    check(fmt::format("adamw over {}", n),
          {out({n}), inout_f32({n}), inout_f32({n}), v, in_f32({n})},
          [](Backend& backend, const Tensors& t) {
            backend.adamw({.value = t[0],
                           .master = t[1],
                           .m = t[2],
                           .v = t[3],
                           .grad = t[4],
                           .rate = 0.01f,
                           .decay = 0.1f,
                           .grad_scale = 0.7f,
                           .step = 3});
          });
  }
}

TEST_P(BackendConformance, adamw_in_f32_may_have_its_master_as_the_value) {
  Operand v = inout_f32({50});
  v.values.assign(50, 0.2f);
  check("adamw in place", {inout_f32({50}), inout_f32({50}), v, in_f32({50})},
        [](Backend& backend, const Tensors& t) {
          backend.adamw({.value = t[0],
                         .master = t[0],
                         .m = t[1],
                         .v = t[2],
                         .grad = t[3],
                         .rate = 0.01f,
                         .decay = 0.1f,
                         .step = 1});
        });
}

TEST_P(BackendConformance, wrong_shapes_are_refused_by_name) {
  const auto backend = test_backend(GetParam().kind);
  const DType type = GetParam().dtype;
  const Tensor a = backend->zeros({3, 4}, type), b = backend->zeros({5, 6}, type);
  try {
    backend->gemm({.a = a, .b = b, .c = backend->zeros({3, 6}, type)});
    FAIL() << "a product of [3, 4] and [5, 6] was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("[5, 6]"), std::string::npos) << error.what();
  }
  EXPECT_THROW(backend->layernorm(a, {}, a, a, 1e-5f, {}, a, a, a), Error);
  EXPECT_THROW(backend->bias_grad(a, backend->zeros({3}, DType::f32)), Error);
}

INSTANTIATE_TEST_SUITE_P(all, BackendConformance, ::testing::ValuesIn(all_subjects()),
                         [](const auto& info) { return to_string(info.param); });

}  // namespace
}  // namespace katman
