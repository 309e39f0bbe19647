#include "core/model/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace katman {
namespace {

// The lower id first among equals.
struct Likelier {
  std::span<const float> logits;
  bool operator()(int32_t a, int32_t b) const {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  }
};

std::vector<int32_t> all_ids(size_t count) {
  std::vector<int32_t> ids(count);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// The most likely tokens, as many as top_k leaves, in no order.
std::vector<int32_t> candidates(std::span<const float> logits, int64_t top_k) {
  std::vector<int32_t> ids = all_ids(logits.size());
  if (top_k > 0 && static_cast<size_t>(top_k) < ids.size()) {
    std::ranges::nth_element(ids, ids.begin() + top_k, Likelier{logits});
    ids.resize(static_cast<size_t>(top_k));
    std::ranges::sort(ids, Likelier{logits});
  }
  return ids;
}

// What tokens weigh against each other: e^((logit - maximum) / temperature). [candidate]
std::vector<double> weights_of(std::span<const float> logits, const std::vector<int32_t>& ids,
                               float maximum, float temperature) {
  std::vector<double> weights;
  weights.reserve(ids.size());
  for (const int32_t id : ids)
    weights.push_back(std::exp((logits[static_cast<size_t>(id)] - maximum) / temperature));
  return weights;
}

// Leaves the fewest of the most likely tokens that together weigh `enough`. A heap, since they are
// few of many as a rule.
void keep_until(double enough, std::span<const float> logits, std::vector<int32_t>& ids,
                float maximum, float temperature) {
  const Likelier likelier{logits};
  const auto less = [&](int32_t a, int32_t b) { return likelier(b, a); };
  std::ranges::make_heap(ids, less);
  double total = 0;
  auto heap_end = ids.end();
  while (heap_end != ids.begin() && total < enough) {
    std::ranges::pop_heap(ids.begin(), heap_end, less);
    const auto logit = logits[static_cast<size_t>(*--heap_end)];
    total += std::exp((logit - maximum) / temperature);
  }
  ids.erase(ids.begin(), heap_end);
  std::ranges::reverse(ids);
}

void penalise(std::span<float> logits, float penalty, std::span<const int32_t> seen) {
  std::vector<int32_t> once(seen.begin(), seen.end());
  std::ranges::sort(once);
  const auto repeated = std::ranges::unique(once);
  once.erase(repeated.begin(), repeated.end());
  for (const int32_t id : once) {
    float& logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

}  // namespace

void Sampling::check() const {
  require_usage(temperature >= 0 && std::isfinite(temperature),
                "temperature = {} must be 0 or more", temperature);
  require_usage(top_k >= 0, "top_k = {} must be 0 (all tokens) or more", top_k);
  require_usage(top_p > 0 && top_p <= 1, "top_p = {} must be in (0, 1]", top_p);
  require_usage(repetition_penalty > 0 && std::isfinite(repetition_penalty),
                "repetition_penalty = {} must be positive (1: none)", repetition_penalty);
}

int32_t sample(std::span<float> logits, const Sampling& sampling, uint64_t index,
               std::span<const int32_t> seen) {
  require(!logits.empty() &&
              std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); }),
          "the model's logits are not finite numbers: the checkpoint is damaged or diverged");
  if (sampling.repetition_penalty != 1) penalise(logits, sampling.repetition_penalty, seen);
  const auto top = std::ranges::max_element(logits);
  if (sampling.temperature == 0) return static_cast<int32_t>(top - logits.begin());

  std::vector<int32_t> ids = candidates(logits, sampling.top_k);
  std::vector<double> weights = weights_of(logits, ids, *top, sampling.temperature);
  double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sampling.top_p < 1) {
    keep_until(sampling.top_p * total, logits, ids, *top, sampling.temperature);
    weights = weights_of(logits, ids, *top, sampling.temperature);
    total = std::accumulate(weights.begin(), weights.end(), 0.0);
  }
  double left = random_uniform(Key(sampling.seed).at("generate"), index) * total;
  for (size_t i = 0; i + 1 < ids.size(); ++i)
    if ((left -= weights[i]) < 0) return ids[i];
  return ids.back();
}

double log_total(std::span<const float> logits) {
  const float maximum = *std::ranges::max_element(logits);
  double total = 0;
  for (const float logit : logits) total += std::exp(logit - maximum);
  return maximum + std::log(total);
}

std::vector<std::pair<int32_t, float>> likeliest(std::span<const float> logits, int64_t count) {
  std::vector<int32_t> ids = all_ids(logits.size());
  const auto end = ids.begin() + std::min(count, static_cast<int64_t>(ids.size()));
  std::ranges::partial_sort(ids, end, Likelier{logits});
  const double total = log_total(logits);
  std::vector<std::pair<int32_t, float>> found;
  for (auto id = ids.begin(); id != end; ++id)
    found.emplace_back(*id, static_cast<float>(logits[static_cast<size_t>(*id)] - total));
  return found;
}

}  // namespace katman
