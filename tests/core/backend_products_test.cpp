// Products of every backend and type against the reference, on shapes that divide nothing:
// transposed, accumulated, with epilogues, in 8 bits, by weights that backends may pack.
#include <cmath>

#include "tests/support/conformance.h"
#include "tests/support/model.h"

namespace katman {
namespace {
using namespace testing;
using Tensors = std::vector<Tensor>;

class ProductConformance : public Conformance {};

struct Mnk {
  int64_t m, n, k;
};
const std::vector<Mnk> products = {{1, 1, 1},    {7, 33, 17},   {64, 48, 32}, {130, 70, 65},
                                   {1, 129, 96}, {97, 256, 31}, {33, 16, 260}};

std::string label(const char* op, const Mnk& s) {
  return fmt::format("{} m={} n={} k={}", op, s.m, s.n, s.k);
}

// Tensor cores for 8-bit floats keep some 14 bits of a sum until they add it to one in f32.
double floor_of_8_bits(const Subject& subject) {
  return subject.kind.starts_with("cuda") ? 2e-3 : 1e-5;
}

TEST_P(ProductConformance, gemm_takes_every_transposition_and_output_type) {
  for (const Mnk& s : products) {
    for (int variant = 0; variant < 16; ++variant) {
      const bool at = variant & 1, bt = variant & 2, wide = variant & 4, weight = variant & 8;
      const Shape a = at ? Shape{s.k, s.m} : Shape{s.m, s.k};
      const Shape b = bt ? Shape{s.n, s.k} : Shape{s.k, s.n};
      check(
          fmt::format("{} A^T={} B^T={} f32={} weight={}", label("gemm", s), at, bt, wide, weight),
          {in(a), in(b), wide ? out_f32({s.m, s.n}) : out({s.m, s.n})},
          [=](Backend& backend, const Tensors& t) {
            backend.gemm({.a = t[0],
                          .b = t[1],
                          .c = t[2],
                          .a_transposed = at,
                          .b_transposed = bt,
                          .b_is_weight = weight});
          });
    }
  }
}

TEST_P(ProductConformance, gemm_accumulates_weight_gradients_in_f32) {
  for (const Mnk& s : products) {
    for (bool at : {false, true}) {
      check(
          label(at ? "gemm A^T +=" : "gemm +=", s),
          {in(at ? Shape{s.k, s.m} : Shape{s.m, s.k}), in({s.k, s.n}), inout_f32({s.m, s.n})},
          [=](Backend& backend, const Tensors& t) {
            backend.gemm({.a = t[0], .b = t[1], .c = t[2], .a_transposed = at, .accumulate = true});
          });
    }
  }
}

TEST_P(ProductConformance, gemm_adds_the_bias_gradient_of_a_weight_gradient) {
  for (const Mnk& s : products) {
    for (const bool in_8_bits : {false, true}) {
      const Fp8 fp8 = in_8_bits ? Fp8::e4m3 : Fp8::none;
      check(
          label("gemm with bias_grad", s),
          {in({s.k, s.m}), in({s.k, s.n}), inout_f32({s.m, s.n}), inout_f32({s.m})},
          [=](Backend& backend, const Tensors& t) {
            backend.gemm({.a = t[0],
                          .b = t[1],
                          .c = t[2],
                          .a_transposed = true,
                          .accumulate = true,
                          .a_fp8 = fp8,
                          .b_fp8 = fp8,
                          .bias_grad = t[3]});
          },
          2.5, in_8_bits ? floor_of_8_bits(GetParam()) : 1e-5);
    }
  }
}

TEST_P(ProductConformance, gemm_epilogues_follow_the_product) {
  using enum Gemm::Epilogue;
  for (const Mnk& s : products) {
    const Shape c{s.m, s.n};
    check(label("gemm bias", s), {in({s.m, s.k}), in({s.n, s.k}), in({s.n}), out(c)},
          [](Backend& backend, const Tensors& t) {
            backend.gemm({.a = t[0],
                          .b = t[1],
                          .c = t[3],
                          .b_transposed = true,
                          .b_is_weight = true,
                          .epilogue = bias,
                          .bias = t[2]});
          });
    check(
        label("gemm bias_gelu", s),
        {in({s.m, s.k}, 0.3), in({s.k, s.n}), in({s.n}), out(c), out(c)},
        [](Backend& backend, const Tensors& t) {
          backend.gemm(
              {.a = t[0], .b = t[1], .c = t[3], .epilogue = bias_gelu, .bias = t[2], .aux = t[4]});
        });
    check(label("gemm gelu_grad", s), {in({s.m, s.k}), in({s.k, s.n}), in(c, 2), out(c)},
          [](Backend& backend, const Tensors& t) {
            backend.gemm({.a = t[0],
                          .b = t[1],
                          .c = t[3],
                          .b_is_weight = true,
                          .epilogue = gelu_grad,
                          .aux = t[2]});
          });
  }
}

Gemm in_8_bits(Gemm g, Fp8 a) {
  g.a_fp8 = a;
  g.b_fp8 = Fp8::e4m3;
  return g;
}

// In shapes that tensor cores for 8-bit floats take, and in others.
TEST_P(ProductConformance, gemm_rounds_its_operands_to_8_bits) {
  using enum Gemm::Epilogue;
  for (const Mnk& s : {Mnk{64, 48, 32}, {80, 144, 272}, {7, 33, 17}, {48, 16, 20}}) {
    const Shape c{s.m, s.n};
    check(label("fp8 forward", s), {in({s.m, s.k}, 30), in({s.n, s.k}, 1e-3), in({s.n}), out(c)},
          [](Backend& backend, const Tensors& t) {
            Gemm g{.a = t[0], .b = t[1], .c = t[3], .b_transposed = true, .b_is_weight = true};
            g.epilogue = bias;
            g.bias = t[2];
            backend.gemm(in_8_bits(g, Fp8::e4m3));
          });
    check(label("fp8 forward with GELU", s),
          {in({s.m, s.k}), in({s.n, s.k}, 0.1), in({s.n}), out(c), out(c)},
          [](Backend& backend, const Tensors& t) {
            Gemm g{.a = t[0], .b = t[1], .c = t[3], .b_transposed = true};
            g.epilogue = bias_gelu;
            g.bias = t[2];
            g.aux = t[4];
            backend.gemm(in_8_bits(g, Fp8::e4m3));
          });
    check(label("fp8 input gradient", s), {in({s.m, s.k}, 1e-7), in({s.k, s.n}), in(c, 2), out(c)},
          [](Backend& backend, const Tensors& t) {
            Gemm g{.a = t[0], .b = t[1], .c = t[3], .b_is_weight = true};
            g.epilogue = gelu_grad;
            g.aux = t[2];
            backend.gemm(in_8_bits(g, Fp8::e5m2));
          });
    check(
        label("fp8 weight gradient", s), {in({s.k, s.m}, 1e5), in({s.k, s.n}), inout_f32(c)},
        [](Backend& backend, const Tensors& t) {
          const Gemm g{.a = t[0], .b = t[1], .c = t[2], .a_transposed = true, .accumulate = true};
          backend.gemm(in_8_bits(g, Fp8::e5m2));
        },
        2.5, floor_of_8_bits(GetParam()));
  }
}

TEST_P(ProductConformance, an_infinite_operand_shows_behind_a_product_of_8_bits) {
  const auto backend = test_backend(GetParam().kind);
  for (const float poison : {INFINITY, NAN}) {
    std::vector<float> values(32 * 32, 0.5f);
    values[40] = poison;
    const Tensor wide = make(*backend, {32, 32}, values),
                 a = backend->empty({32, 32}, GetParam().dtype);
    backend->cast(wide, a);
    const Tensor c = backend->empty({32, 32}, DType::f32);
    backend->gemm({.a = a, .b = a, .c = c, .a_fp8 = Fp8::e4m3, .b_fp8 = Fp8::e4m3});
    EXPECT_TRUE(std::isnan(read(*backend, c)[1 * 32 + 3]));
    EXPECT_EQ(read(*backend, c)[2 * 32 + 3], 8);
  }
}

TEST_P(ProductConformance, packed_weights_are_refreshed_when_weights_changed) {
  check("gemm after weights_changed", {in({15, 24}), in({40, 24}), out({15, 40})},
        [](Backend& backend, const Tensors& t) {
          const Gemm g{.a = t[0], .b = t[1], .c = t[2], .b_transposed = true, .b_is_weight = true};
          backend.gemm(g);
          backend.scale(t[1], -3);
          backend.weights_changed();
          backend.gemm(g);
        });
}

TEST_P(ProductConformance, a_square_weight_and_its_transpose_are_packed_apart) {
  for (const int64_t rows : {15, 64})
    check("gemm by a weight, then by its transpose",
          {in({rows, 96}), in({96, 96}), out({rows, 96}), out({rows, 96})},
          [](Backend& backend, const Tensors& t) {
            Gemm g{.a = t[0], .b = t[1], .c = t[2], .b_transposed = true, .b_is_weight = true};
            backend.gemm(g);
            g.b_transposed = false;
            g.c = t[3];
            backend.gemm(g);
          });
}

INSTANTIATE_TEST_SUITE_P(all, ProductConformance, ::testing::ValuesIn(all_subjects()),
                         [](const auto& info) { return to_string(info.param); });

}  // namespace
}  // namespace katman
