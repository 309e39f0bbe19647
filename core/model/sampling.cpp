#include "core/model/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/cpu/kernels/kernels.h"
#include "core/error.h"

namespace katman {
namespace {

// A place in the order of likelihood, the lower id first among equals.
struct Place {
  float logit;
  int32_t id;
};
bool before(Place a, Place b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

constexpr Place behind_all = {-INFINITY, 0};

// The k + 1st most likely token, which top_k leaves out first.
Place first_beyond(int64_t k, std::span<const float> logits) {
  if (k == 0 || std::cmp_greater_equal(k, logits.size())) return behind_all;
  std::vector<Place> best;  // a heap, the least likely of them on top
  for (size_t i = 0; i < logits.size(); ++i) {
    const Place place = {logits[i], static_cast<int32_t>(i)};
    if (std::ssize(best) <= k) {
      best.push_back(place);
      std::ranges::push_heap(best, before);
    } else if (before(place, best.front())) {
      std::ranges::pop_heap(best, before);
      best.back() = place;
      std::ranges::push_heap(best, before);
    }
  }
  return best.front();
}

// e^((logit - maximum) / temperature) for every token.
std::vector<float> weights_of(std::span<const float> logits, float temperature) {
  const CpuKernels::Typed& kernels = cpu_kernels().typed[0];
  std::vector<float> weights(logits.begin(), logits.end());
  const auto count = std::ssize(weights);
  if (temperature != 1) kernels.scale(weights.data(), 1 / temperature, count);
  const float most = *std::ranges::max_element(weights);
  kernels.softmax(weights.data(), count, count, most, 1);
  return weights;
}

// What the tokens before a place weigh together, and who among them a share of it belongs to.
class Mass {
 public:
  Mass(std::span<const float> logits, std::span<const float> weights, Place end)
      : logits_(logits), weights_(weights), end_(end) {
    for (size_t at = 0; at < logits.size(); at += block) blocks_.push_back(block_mass(at));
    total_ = std::accumulate(blocks_.begin(), blocks_.end(), 0.0);
  }

  double total() const { return total_; }

  // Tokens side by side, each as wide as it weighs: the one at `distance` < total from the first.
  Place at(double distance) const {
    size_t index = 0;
    while (index + 1 < blocks_.size() && distance >= blocks_[index]) distance -= blocks_[index++];
    const size_t begin = index * block, end = std::min(begin + block, logits_.size());
    Place found = {logits_[begin], static_cast<int32_t>(begin)};
    for (size_t i = begin; i < end; ++i) {
      const Place place = {logits_[i], static_cast<int32_t>(i)};
      if (!before(place, end_)) continue;
      found = place;
      if ((distance -= static_cast<double>(weights_[i])) < 0) break;
    }
    return found;
  }

 private:
  static constexpr size_t block = 256, lanes = 8;

  // Written so that a compiler sees `lanes` sums that do not wait for each other.
  double block_mass(size_t begin) const {
    const size_t end = std::min(begin + block, logits_.size());
    const auto tie = std::clamp(static_cast<size_t>(end_.id), begin, end);
    const float lower = std::nextafter(end_.logit, -INFINITY);
    float sums[lanes] = {};
    const auto add = [&](size_t from, size_t to, float above) {
      size_t i = from;
      for (; i + lanes <= to; i += lanes)
        for (size_t lane = 0; lane < lanes; ++lane)
          sums[lane] += logits_[i + lane] > above ? weights_[i + lane] : 0;
      for (; i < to; ++i) sums[0] += logits_[i] > above ? weights_[i] : 0;
    };
    add(begin, tie, lower);  // equals of the end come before it up to its own id
    add(tie, end, end_.logit);
    return std::accumulate(std::begin(sums), std::end(sums), 0.0);
  }

  std::span<const float> logits_, weights_;
  Place end_;
  std::vector<double> blocks_;
  double total_ = 0;
};

// Zero times a number is zero, unless it is infinite or none.
bool all_finite(std::span<const float> logits) {
  constexpr size_t lanes = 8;
  float zeros[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= logits.size(); i += lanes)
    for (size_t lane = 0; lane < lanes; ++lane) zeros[lane] += 0 * logits[i + lane];
  for (; i < logits.size(); ++i) zeros[0] += 0 * logits[i];
  return std::ranges::all_of(zeros, [](float zero) { return zero == 0; });
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

// Draws from more tokens than top_p leaves until one of those it leaves comes. Whatever is drawn
// and is not one of them ends the next draw's choice, so that a few draws are enough; of those that
// it leaves, each comes as often as it weighs. No sorting.
int32_t sample(std::span<float> logits, const Sampling& sampling, uint64_t index,
               std::span<const int32_t> seen) {
  require(!logits.empty() && all_finite(logits),
          "the model's logits are not finite numbers: the checkpoint is damaged or diverged");
  if (sampling.repetition_penalty != 1) penalise(logits, sampling.repetition_penalty, seen);
  if (sampling.temperature == 0)
    return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());

  const std::vector<float> weights = weights_of(logits, sampling.temperature);
  Mass mass(logits, weights, first_beyond(sampling.top_k, logits));
  const double enough = sampling.top_p * mass.total();
  Key key = Key(sampling.seed).at("generate");
  while (true) {
    const Place drawn = mass.at(random_uniform(key, index) * mass.total());
    if (sampling.top_p >= 1) return drawn.id;
    mass = Mass(logits, weights, drawn);
    if (mass.total() < enough) return drawn.id;
    key = key.at("again");
  }
}

double log_total(std::span<const float> logits) {
  float maximum = 0, total = 0;
  cpu_kernels().typed[0].xent_stats(logits.data(), std::ssize(logits), &maximum, &total);
  return maximum + std::log(static_cast<double>(total));
}

std::vector<std::pair<int32_t, float>> likeliest(std::span<const float> logits, int64_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto place = [&](int32_t id) { return Place{logits[static_cast<size_t>(id)], id}; };
  const auto end = ids.begin() + std::min(count, static_cast<int64_t>(ids.size()));
  std::ranges::partial_sort(ids, end, before, place);
  const double total = log_total(logits);
  std::vector<std::pair<int32_t, float>> found;
  for (auto id = ids.begin(); id != end; ++id)
    found.emplace_back(*id, static_cast<float>(logits[static_cast<size_t>(*id)] - total));
  return found;
}

}  // namespace katman
