#include "core/adam.h"

#include <gtest/gtest.h>

#include <cmath>

namespace katman {
namespace {

using Kind = LearningRate::Kind;

LearningRate rate(Kind kind) {
  LearningRate r;
  r.kind = kind;
  r.peak = 1;
  r.final_fraction = 0.1f;
  r.warmup_steps = 10;
  r.decay_steps = 20;
  r.total_steps = 101;
  return r;
}

TEST(LearningRate, every_kind_warms_up_linearly_to_the_peak) {
  for (const Kind kind : {Kind::cosine, Kind::linear, Kind::warmup_stable_decay, Kind::constant}) {
    for (int64_t step = 0; step < 10; ++step)
      EXPECT_FLOAT_EQ(rate(kind).at(step), static_cast<float>(step + 1) / 10) << step;
    EXPECT_FLOAT_EQ(rate(kind).at(10), 1);
  }
}

TEST(LearningRate, every_kind_that_decays_ends_at_the_final_fraction_and_stays_there) {
  for (const Kind kind : {Kind::cosine, Kind::linear, Kind::warmup_stable_decay}) {
    EXPECT_NEAR(rate(kind).at(100), 0.1f, 1e-6f);
    EXPECT_NEAR(rate(kind).at(1000), 0.1f, 1e-6f);
    for (int64_t step = 10; step < 100; ++step)
      EXPECT_GE(rate(kind).at(step), rate(kind).at(step + 1)) << step;
  }
  EXPECT_FLOAT_EQ(rate(Kind::constant).at(1000), 1);
}

TEST(LearningRate, half_way_down_is_where_each_kind_says) {
  EXPECT_FLOAT_EQ(rate(Kind::linear).at(55), 0.55f);
  EXPECT_FLOAT_EQ(rate(Kind::cosine).at(55), 0.55f);
  EXPECT_GT(rate(Kind::cosine).at(30), rate(Kind::linear).at(30));
  EXPECT_FLOAT_EQ(rate(Kind::warmup_stable_decay).at(80), 1);
  EXPECT_FLOAT_EQ(rate(Kind::warmup_stable_decay).at(90), 0.55f);
}

TEST(LearningRate, a_run_of_one_step_and_no_warm_up_starts_at_the_peak) {
  LearningRate r;
  r.peak = 0.5f;
  EXPECT_FLOAT_EQ(r.at(0), 0.5f);
}

TEST(Clip, only_a_norm_above_the_limit_is_scaled_down_to_it) {
  EXPECT_EQ(clip_factor(0.5f, 1), 1);
  EXPECT_EQ(clip_factor(1, 1), 1);
  EXPECT_FLOAT_EQ(clip_factor(4, 1), 0.25f);
  EXPECT_EQ(clip_factor(1e9f, 0), 1);
}

}  // namespace
}  // namespace katman
