#include "core/adam.h"

#include <algorithm>
#include <cmath>

namespace katman {
namespace {

// From 1 at progress 0 to `last` at progress 1.
float cosine(float progress, float last) {
  return last + (1 - last) * 0.5f * (1 + std::cos(3.14159265f * progress));
}
float linear(float progress, float last) { return 1 - (1 - last) * progress; }

}  // namespace

float LearningRate::at(int64_t step) const {
  if (step < warmup_steps)
    return peak * static_cast<float>(step + 1) / static_cast<float>(warmup_steps);
  const auto progress = [&](int64_t first) {
    const auto length = static_cast<float>(std::max<int64_t>(1, total_steps - 1 - first));
    return std::clamp(static_cast<float>(step - first) / length, 0.0f, 1.0f);
  };
  switch (kind) {
    case Kind::cosine:
      return peak * cosine(progress(warmup_steps), final_fraction);
    case Kind::linear:
      return peak * linear(progress(warmup_steps), final_fraction);
    case Kind::warmup_stable_decay:
      return peak * linear(progress(std::max(warmup_steps, total_steps - 1 - decay_steps)),
                           final_fraction);
    case Kind::constant:
      break;
  }
  return peak;
}

float clip_factor(float norm, float clip_norm) {
  return clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1.0f;
}

}  // namespace katman
