#include "data_pipeline/build/split.h"

#include <algorithm>

#include "core/error.h"

namespace katman {
namespace {

constexpr int bucket_bits = 16;
constexpr uint64_t mb = 1'000'000;

uint64_t distance(uint64_t a, uint64_t b) { return a < b ? b - a : a - b; }

}  // namespace

SplitChooser::SplitChooser(uint64_t total_bytes, double share)
    : share_(share), bytes_by_rank_(size_t{1} << bucket_bits) {
  require_usage(share >= 0 && share < 1, "the validation share is {}, not between 0 and 1", share);
  rule_.long_bytes = wanted(total_bytes) / 2;
}

uint64_t SplitChooser::wanted(uint64_t text_bytes) const {
  if (share_ > 0) return static_cast<uint64_t>(share_ * static_cast<double>(text_bytes));
  return std::min(std::clamp(text_bytes / 100, 1 * mb, 64 * mb), text_bytes / 10);
}

void SplitChooser::add(const Hash128& hash, uint64_t bytes) {
  text_bytes_ += bytes;
  bytes_by_rank_[rule_.rank(hash, bytes) >> (64 - bucket_bits)] += bytes;
}

SplitRule SplitChooser::choose() const {
  SplitRule rule = rule_;
  const uint64_t goal = wanted(text_bytes_);
  uint64_t held_out = 0, below = 0;  // bytes under the threshold; bytes up to this bucket
  for (uint64_t bucket = 0; bucket < bytes_by_rank_.size(); ++bucket) {
    if (bytes_by_rank_[bucket] == 0) continue;
    below += bytes_by_rank_[bucket];
    if (below == text_bytes_) break;  // something stays for training
    if (held_out > 0 && distance(below, goal) >= distance(held_out, goal)) break;
    held_out = below;
    rule.threshold = (bucket + 1) << (64 - bucket_bits);
  }
  return rule;
}

uint64_t sample_threshold(uint64_t text_bytes, uint64_t wanted) {
  if (text_bytes <= wanted) return UINT64_MAX;
  const double share = static_cast<double>(wanted) / static_cast<double>(text_bytes);
  return UINT64_MAX / 1'000'000 * static_cast<uint64_t>(share * 1e6);
}

}  // namespace katman
