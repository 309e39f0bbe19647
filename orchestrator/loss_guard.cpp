#include "orchestrator/loss_guard.h"

#include <algorithm>

namespace katman {

// The first losses of a run fall fast and say nothing about later ones.
constexpr int64_t enough = 20;
constexpr double smallest_weight = 0.02;

bool LossGuard::is_spike(double loss) {
  if (factor_ > 0 && seen_ >= enough && loss > factor_ * mean_) return true;
  ++seen_;
  mean_ += std::max(1 / static_cast<double>(seen_), smallest_weight) * (loss - mean_);
  return false;
}

}  // namespace katman
