#include "orchestrator/finetune/scores.h"

#include <gtest/gtest.h>

#include <cmath>

namespace katman {
namespace {

Confusion confusion(const std::vector<std::vector<int>>& counts) {
  Confusion made(static_cast<int64_t>(counts.size()));
  for (size_t right = 0; right < counts.size(); ++right)
    for (size_t said = 0; said < counts.size(); ++said)
      for (int i = 0; i < counts[right][said]; ++i)
        made.add(static_cast<int64_t>(right), static_cast<int64_t>(said));
  return made;
}

TEST(Scores, of_two_classes_are_the_textbooks) {
  const double tn = 50, fp = 10, fn = 5, tp = 35;
  const Confusion c = confusion({{50, 10}, {5, 35}});
  EXPECT_DOUBLE_EQ(c.accuracy(), 0.85);
  const double precision = tp / (tp + fp), recall = tp / (tp + fn);
  EXPECT_DOUBLE_EQ(c.f1(1), 2 * precision * recall / (precision + recall));
  EXPECT_DOUBLE_EQ(c.macro_f1(), (c.f1(0) + c.f1(1)) / 2);
  EXPECT_NEAR(c.matthews(),
              (tp * tn - fp * fn) / std::sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
              1e-12);
}

// R_K of Gorodkin, 2004, written out.
TEST(Scores, of_three_classes_follow_their_definitions) {
  const Confusion c = confusion({{3, 1, 0}, {1, 2, 2}, {0, 0, 4}});
  EXPECT_NEAR(c.accuracy(), 9.0 / 13, 1e-12);
  EXPECT_NEAR(c.macro_f1(), (6.0 / 8 + 4.0 / 8 + 8.0 / 10) / 3, 1e-12);
  EXPECT_NEAR(c.matthews(),
              (9.0 * 13 - (4 * 4 + 5 * 3 + 4 * 6)) / std::sqrt((169.0 - 57) * (169.0 - 61)), 1e-12);
}

TEST(Scores, of_a_majority_answer_correlate_with_nothing) {
  const Confusion c = confusion({{9, 0}, {1, 0}});
  EXPECT_DOUBLE_EQ(c.accuracy(), 0.9);
  EXPECT_EQ(c.f1(1), 0);
  EXPECT_EQ(c.matthews(), 0);
}

TEST(Scores, probabilities_add_up_even_of_large_logits) {
  const std::vector<float> logits = {1000, 999, -1e30f};
  const auto p = probabilities(logits);
  EXPECT_NEAR(p[0], 1 / (1 + std::exp(-1.0)), 1e-12);
  EXPECT_NEAR(p[0] + p[1], 1, 1e-12);
  EXPECT_EQ(p[2], 0);
}

}  // namespace
}  // namespace katman
