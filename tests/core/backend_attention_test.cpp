// Attention of every backend and type against the reference: grouped, windowed, in documents,
// dropped, cached.
#include "tests/support/conformance.h"

namespace katman {
namespace {
using namespace testing;
using Tensors = std::vector<Tensor>;

class AttentionConformance : public Conformance {};

struct AttentionCase {
  int64_t sequences, length, groups, queries, head_dim, window = 0;
  bool documents = false;
  float dropout = 0;
};
const std::vector<AttentionCase> attentions = {
    {1, 1, 1, 1, 8},
    {2, 37, 3, 1, 16},
    {1, 130, 2, 1, 64},
    {1, 200, 1, 1, 40},
    {2, 65, 2, 3, 32},
    {1, 150, 1, 1, 64, 33},
    {2, 100, 1, 2, 24, 0, true},
    {2, 70, 2, 1, 17},
    {1, 97, 2, 1, 32, 0, false, 0.2f},
    {1, 300, 1, 1, 128, 90, true},
    {1, 140, 2, 2, 64, 0, false, 0.1f},
    {2, 70, 1, 3, 64, 20, true},
    {1, 100, 1, 2, 128},
    {1, 50, 1, 1, 160},
};
std::string label(const char* op, const AttentionCase& c) {
  return fmt::format(
      "{} sequences={} length={} groups={} queries={} head_dim={} window={} docs={} "
      "dropout={}",
      op, c.sequences, c.length, c.groups, c.queries, c.head_dim, c.window, c.documents, c.dropout);
}
AttentionShape shape_of(const AttentionCase& c, const Tensor& starts) {
  AttentionShape s{.sequences = c.sequences,
                   .length = c.length,
                   .groups = c.groups,
                   .queries_per_group = c.queries,
                   .head_dim = c.head_dim,
                   .window = c.window};
  if (c.documents) s.document_start = starts;
  s.dropout = c.dropout;
  s.dropout_key = Key(5);
  s.sequence_begin = 3;
  s.head_begin = 1;
  s.heads_global = s.heads() + 2;
  return s;
}
// Documents of 29 and 64 tokens, then one to the end of the sequence.
std::vector<int> starts_of(const AttentionCase& c) {
  std::vector<int> starts;
  for (int64_t row = 0; row < c.sequences * c.length; ++row) {
    const int64_t i = row % c.length;
    starts.push_back(i < 29 ? 0 : i < 93 ? 29 : 93);
  }
  return starts;
}

TEST_P(AttentionConformance, attention_is_softmax_of_masked_scores) {
  for (const AttentionCase& c : attentions) {
    const int64_t rows = c.sequences * c.length, heads = c.groups * c.queries;
    check(label("attention", c),
          {in({rows, c.groups * (c.queries + 2) * c.head_dim}), in_i32(starts_of(c)),
           out({rows, heads * c.head_dim}), out_f32({heads, rows})},
          [=](Backend& backend, const Tensors& t) {
            backend.attention(t[0], shape_of(c, t[1]), t[2], t[3]);
          });
  }
}

TEST_P(AttentionConformance, attention_grad_goes_back_through_the_softmax) {
  for (const AttentionCase& c : attentions) {
    const int64_t rows = c.sequences * c.length, heads = c.groups * c.queries;
    const int64_t columns = c.groups * (c.queries + 2) * c.head_dim;
    check(label("attention_grad", c),
          {in({rows, columns}), in_i32(starts_of(c)), in({rows, heads * c.head_dim}),
           out({rows, columns})},
          [=](Backend& backend, const Tensors& t) {
            const Tensor y = backend.empty(t[2].shape(), t[2].dtype());
            const Tensor lse = backend.empty({heads, rows}, DType::f32);
            backend.attention(t[0], shape_of(c, t[1]), y, lse);
            backend.attention_grad(t[2], t[0], y, lse, shape_of(c, t[1]), t[3]);
          });
  }
}

TEST_P(AttentionConformance, cached_attention_continues_what_it_has_seen) {
  const int64_t sequences = 2, groups = 2, queries = 2, d = 24, capacity = 50;
  for (int64_t window : {0, 9}) {
    check(fmt::format("attention_cached window={}", window),
          {in({sequences * 33, groups * (queries + 2) * d}),
           in({sequences, groups * (queries + 2) * d}), out({sequences * 33, groups * queries * d}),
           out({sequences, groups * queries * d})},
          [=](Backend& backend, const Tensors& t) {
            const Tensor k = backend.zeros({sequences, capacity, groups, d}, t[0].dtype());
            const Tensor v = backend.zeros({sequences, capacity, groups, d}, t[0].dtype());
            AttentionShape s{.sequences = sequences,
                             .length = 33,
                             .groups = groups,
                             .queries_per_group = queries,
                             .head_dim = d,
                             .window = window};
            backend.attention_cached(t[0], s, 0, k, v, t[2]);
            s.length = 1;
            backend.attention_cached(t[1], s, 33, k, v, t[3]);
          });
  }
}

INSTANTIATE_TEST_SUITE_P(all, AttentionConformance, ::testing::ValuesIn(all_subjects()),
                         [](const auto& info) { return to_string(info.param); });

}  // namespace
}  // namespace katman
