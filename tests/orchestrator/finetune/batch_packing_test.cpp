// Packed examples: the same batches, the same loss and the same gradients, with less padding.
#include "orchestrator/finetune/batch_packing.h"

#include <gtest/gtest.h>

#include <set>

#include "core/random.h"
#include "tests/support/training.h"

namespace katman::testing {
namespace {

constexpr int64_t examples = 20, batch = 6, least = 4;

int64_t length_of(int64_t example) { return 1 + example % least; }
int64_t at(int64_t place) { return place * 7 % examples; }

BatchPacking packing(int64_t steps) {
  std::vector<int64_t> lengths;
  for (int64_t example = 0; example < examples; ++example) lengths.push_back(length_of(example));
  return BatchPacking({.lengths = lengths,
                       .at = at,
                       .batch = batch,
                       .steps = steps,
                       .least_length = least,
                       .most_length = 8});
}

TEST(BatchPacking, every_step_has_its_own_examples_and_no_others) {
  const BatchPacking packed = packing(30);
  for (int64_t step = 0; step < 30; ++step) {
    std::multiset<int64_t> wanted, found;
    for (int64_t place = step * batch; place < (step + 1) * batch; ++place)
      wanted.insert(at(place));
    for (int64_t sequence = 0; sequence < packed.sequences(); ++sequence)
      for (const int64_t example : packed.examples(step * packed.sequences() + sequence))
        found.insert(example);
    EXPECT_EQ(found, wanted) << "step " << step;
  }
  EXPECT_LT(packed.padding(), packed.padding_alone());
  EXPECT_GE(packed.padding(), 0);
  EXPECT_DOUBLE_EQ(packed.padding_alone(), 1 - 2.5 / least);
}

TEST(BatchPacking, sequences_are_longer_where_that_saves_padding_and_every_rank_still_has_one) {
  const auto packed = [](int64_t shares) {
    return BatchPacking({.lengths = std::vector<int64_t>(examples, 5),
                         .at = at,
                         .batch = batch,
                         .steps = 30,
                         .least_length = 8,
                         .most_length = 40,
                         .shares = shares});
  };
  EXPECT_EQ(packed(1).length(), 16);
  EXPECT_EQ(packed(1).sequences(), 2);
  EXPECT_DOUBLE_EQ(packed(1).padding(), 2.0 / 32);
  EXPECT_EQ(packed(4).length(), 8);
  EXPECT_EQ(packed(4).sequences(), 6);
}

int32_t token(int64_t example, int64_t place) {
  return static_cast<int32_t>(
      random_bits(Key(9).at(static_cast<uint64_t>(example)), static_cast<uint64_t>(place)) % 37);
}

// Writes an example from `begin` on; every second of its targets counts.
void lay(int64_t example, size_t begin, const Sequence& out) {
  for (int64_t t = 0; t < length_of(example); ++t) {
    const size_t place = begin + static_cast<size_t>(t);
    out.ids[place] = token(example, t);
    out.targets[place] = t % 2 ? -1 : token(example, t + 1);
    if (!out.document_start.empty()) out.document_start[place] = static_cast<int32_t>(begin);
  }
}

void clear(size_t begin, const Sequence& out) {
  for (size_t place = begin; place < out.ids.size(); ++place) {
    out.ids[place] = 0;
    out.targets[place] = -1;
    if (!out.document_start.empty()) out.document_start[place] = static_cast<int32_t>(begin);
  }
}

TEST(BatchPacking, loss_and_gradients_are_those_of_examples_each_alone_on_every_layout) {
  constexpr int steps = 4;
  TrainConfig alone = tiny_run();
  alone.length = least;
  alone.batch_sequences = batch;
  alone.micro_batch = 2;
  const Trained want = train_on_samples(alone, steps, [](uint64_t number, const Sequence& out) {
    clear(0, out);
    lay(at(static_cast<int64_t>(number)), 0, out);
  });
  const BatchPacking packed = packing(steps);
  TrainConfig together = alone;
  together.length = packed.length();
  together.batch_sequences = packed.sequences();
  together.documents = true;
  for (const Mesh mesh : {Mesh{1, 1, 1}, Mesh{2, 1, 2}, Mesh{1, 2, 1}}) {
    together.mesh = mesh;
    const Trained got =
        train_on_samples(together, steps, [&](uint64_t number, const Sequence& out) {
          size_t begin = 0;
          for (const int64_t example : packed.examples(static_cast<int64_t>(number))) {
            lay(example, begin, out);
            begin += static_cast<size_t>(length_of(example));
          }
          clear(begin, out);
        });
    for (int step = 0; step < steps; ++step) {
      const auto &a = got.reports[static_cast<size_t>(step)],
                 &b = want.reports[static_cast<size_t>(step)];
      EXPECT_EQ(a.tokens, b.tokens);
      EXPECT_NEAR(a.loss, b.loss, 1e-5 * b.loss) << "step " << step;
      EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-5 * b.grad_norm) << "step " << step;
    }
    std::string worst;
    EXPECT_LT(distance(got, want, worst), 1e-5) << worst << " with " << repro(together);
  }
}

}  // namespace
}  // namespace katman::testing
