// The band and the documents of every backend against attention over all keys with a mask added to
// its scores, written here once more in double and without any block: forward and backward.
#include <cmath>

#include "tests/support/conformance.h"
#include "tests/support/model.h"

namespace katman::testing {
namespace {

constexpr int64_t length = 90, d = 16, queries = 2, columns = (queries + 2) * d;
constexpr double hidden = -1e30;

using Matrix = std::vector<double>;  // [length, something]
// mask(i, j) is added to the score of query i and key j.
using Mask = std::function<double(int64_t i, int64_t j)>;

struct Dense {
  Matrix out, dqkv;
};

// One head of a group: columns q_at, then the group's k and v.
void attend(const Matrix& qkv, const Matrix& dout, const Mask& mask, int64_t head, Dense& result) {
  const int64_t q_at = head * d, k_at = queries * d, v_at = k_at + d, width = queries * d;
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const auto at = [](int64_t row, int64_t column) {
    return static_cast<size_t>(row * columns + column);
  };
  for (int64_t i = 0; i < length; ++i) {
    Matrix p(length), dp(length);
    double total = 0, mean = 0;
    for (int64_t j = 0; j < length; ++j) {
      double score = 0;
      for (int64_t c = 0; c < d; ++c) score += qkv[at(i, q_at + c)] * qkv[at(j, k_at + c)];
      total += p[j] = std::exp(score * scale + mask(i, j));
    }
    for (int64_t j = 0; j < length; ++j) {
      p[j] /= total;
      for (int64_t c = 0; c < d; ++c) {
        const auto o = static_cast<size_t>(i * width + q_at + c);
        result.out[o] += p[j] * qkv[at(j, v_at + c)];
        dp[j] += dout[o] * qkv[at(j, v_at + c)];
        result.dqkv[at(j, v_at + c)] += p[j] * dout[o];
      }
      mean += p[j] * dp[j];
    }
    for (int64_t j = 0; j < length; ++j)
      for (int64_t c = 0; c < d; ++c) {
        const double ds = p[j] * (dp[j] - mean) * scale;
        result.dqkv[at(i, q_at + c)] += ds * qkv[at(j, k_at + c)];
        result.dqkv[at(j, k_at + c)] += ds * qkv[at(i, q_at + c)];
      }
  }
}

Dense dense(const Matrix& qkv, const Matrix& dout, const Mask& mask) {
  Dense result{Matrix(length * queries * d), Matrix(length * columns)};
  for (int64_t head = 0; head < queries; ++head) attend(qkv, dout, mask, head, result);
  return result;
}

class Masks : public Conformance {
 protected:
  void SetUp() override {
    Conformance::SetUp();
    if (!IsSkipped()) backend = test_backend(GetParam().kind);
  }
  std::unique_ptr<Backend> backend;

  Tensor random(const Shape& shape, uint64_t seed) {
    const Tensor exact = normal(*backend, shape, Key(seed));
    const Tensor t = backend->empty(shape, GetParam().dtype);
    if (GetParam().dtype == DType::f32)
      backend->copy(exact, t);
    else
      backend->cast(exact, t);
    return t;
  }
  Matrix values(const Tensor& t) {
    const Values floats = read(*backend, t);
    return {floats.begin(), floats.end()};
  }
  void expect_near(const Tensor& t, const Matrix& truth, const std::string& what) {
    const Matrix mine = values(t);
    double size = 0, apart = 0;
    for (size_t i = 0; i < truth.size(); ++i) {
      size = std::max(size, std::abs(truth[i]));
      apart = std::max(apart, std::abs(truth[i] - mine[i]));
    }
    EXPECT_LT(apart, (GetParam().dtype == DType::f32 ? 1e-5 : 2e-2) * size) << what;
  }

  void check(AttentionShape s, const Mask& mask, const std::string& what) {
    s.sequences = 1;
    s.length = length;
    s.groups = 1;
    s.queries_per_group = queries;
    s.head_dim = d;
    const Tensor qkv = random({length, columns}, 1), dout = random({length, queries * d}, 2);
    const Tensor out = backend->empty(dout.shape(), dout.dtype());
    const Tensor dqkv = backend->empty(qkv.shape(), qkv.dtype());
    const Tensor lse = backend->empty({queries, length}, DType::f32);
    backend->attention(qkv, s, out, lse);
    backend->attention_grad(dout, qkv, out, lse, s, dqkv);
    const Dense truth = dense(values(qkv), values(dout), mask);
    expect_near(out, truth.out, what);
    expect_near(dqkv, truth.dqkv, what + ", gradient");
  }
};

double causal(int64_t i, int64_t j) { return j <= i ? 0 : hidden; }

TEST_P(Masks, no_mask_but_the_causal_one_is_dense_causal_attention) { check({}, causal, "dense"); }

TEST_P(Masks, a_band_is_dense_attention_with_the_band_added) {
  for (const int64_t window : {1, 7, 64, 65, 200}) {
    AttentionShape s;
    s.window = window;
    check(
        s, [=](int64_t i, int64_t j) { return causal(i, j) + (i - j < window ? 0 : hidden); },
        fmt::format("window {}", window));
  }
}

TEST_P(Masks, documents_are_dense_attention_with_blocks_on_the_diagonal) {
  std::vector<int32_t> starts;
  for (int32_t i = 0; i < length; ++i) starts.push_back(i < 5 ? 0 : i < 6 ? 5 : i < 70 ? 6 : 70);
  for (const int64_t window : {0, 9}) {
    AttentionShape s;
    s.document_start = make_ids(*backend, starts);
    s.window = window;
    check(
        s,
        [&](int64_t i, int64_t j) {
          const bool near = window == 0 || i - j < window;
          return causal(i, j) + (j >= starts[static_cast<size_t>(i)] && near ? 0 : hidden);
        },
        fmt::format("documents, window {}", window));
  }
}

INSTANTIATE_TEST_SUITE_P(all, Masks, ::testing::ValuesIn(all_subjects()),
                         [](const auto& info) { return to_string(info.param); });

}  // namespace
}  // namespace katman::testing
