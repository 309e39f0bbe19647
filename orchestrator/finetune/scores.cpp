#include "orchestrator/finetune/scores.h"

#include <algorithm>
#include <cmath>

namespace katman {

Confusion::Confusion(int64_t classes)
    : classes_(classes), counts_(static_cast<size_t>(classes * classes)) {}

void Confusion::add(int64_t right, int64_t said) {
  ++counts_[static_cast<size_t>(right * classes_ + said)];
  ++total_;
  agreed_ += right == said;
}

int64_t Confusion::right(int64_t of) const {
  int64_t sum = 0;
  for (int64_t other = 0; other < classes_; ++other) sum += count(of, other);
  return sum;
}

int64_t Confusion::said(int64_t of) const {
  int64_t sum = 0;
  for (int64_t other = 0; other < classes_; ++other) sum += count(other, of);
  return sum;
}

double Confusion::accuracy() const {
  return total_ ? static_cast<double>(agreed_) / static_cast<double>(total_) : 0;
}

double Confusion::f1(int64_t of) const {
  const int64_t either = right(of) + said(of);  // 2 tp + fp + fn
  return either ? 2.0 * static_cast<double>(count(of, of)) / static_cast<double>(either) : 0;
}

double Confusion::macro_f1() const {
  double sum = 0;
  for (int64_t of = 0; of < classes_; ++of) sum += f1(of);
  return sum / static_cast<double>(classes_);
}

double Confusion::matthews() const {
  const auto total = static_cast<double>(total_);
  double both = 0, rights = 0, saids = 0;
  for (int64_t of = 0; of < classes_; ++of) {
    const auto r = static_cast<double>(right(of)), s = static_cast<double>(said(of));
    both += r * s;
    rights += r * r;
    saids += s * s;
  }
  const double spread = std::sqrt((total * total - rights) * (total * total - saids));
  return spread > 0 ? (static_cast<double>(agreed_) * total - both) / spread : 0;
}

std::vector<double> probabilities(std::span<const float> logits) {
  const float most = *std::ranges::max_element(logits);
  std::vector<double> weights;
  double sum = 0;
  for (const float logit : logits) sum += weights.emplace_back(std::exp(double{logit} - most));
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace katman
