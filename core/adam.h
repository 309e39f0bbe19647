// The optimizer's arithmetic as pure functions of the step.
#pragma once

#include <cstdint>

namespace katman {

// AdamW's constants; the rate comes from LearningRate, the update itself is Backend::adamw.
struct AdamConfig {
  float beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f;
  float weight_decay = 0.1f;
  float clip_norm = 1.0f;  // 0: no clipping
};

// The learning rate as a function of the step: linear warm-up to `peak`, then by kind down to
// peak * final_fraction at the last step.
struct LearningRate {
  enum class Kind { cosine, linear, warmup_stable_decay, constant } kind = Kind::cosine;
  float peak = 6e-4f, final_fraction = 0.1f;
  int64_t warmup_steps = 0, decay_steps = 0, total_steps = 1;

  // The rate of step `step`, counted from 0. Step 0 of a warm-up of w has peak / w.
  float at(int64_t step) const;
};

// The factor that clips a gradient of this norm to `clip_norm`: min(1, clip_norm / norm).
float clip_factor(float norm, float clip_norm);

}  // namespace katman
