#include "parallel/batch.h"

#include <algorithm>

#include "core/error.h"

namespace katman {

std::vector<MicroBatch> cut_batch(int64_t first, int64_t count, int dp_rank, int dp,
                                  int64_t micro_batch) {
  const int64_t begin = count * dp_rank / dp, mine = count * (dp_rank + 1) / dp - begin;
  const int64_t micros = (mine + micro_batch - 1) / micro_batch;
  std::vector<MicroBatch> cut;
  for (int64_t i = 0; i < micros; ++i) {
    const int64_t from = mine * i / micros, to = mine * (i + 1) / micros;
    cut.push_back({first + begin + from, to - from});
  }
  return cut;
}

BatchPlan::BatchPlan(int64_t full, int64_t start, int64_t ramp) : full_(full), firsts_{0} {
  constexpr size_t most_steps = 1 << 24;
  require_usage(full >= 1 && ramp >= 0 && (ramp == 0 || (start >= 1 && start <= full)),
                "a batch cannot grow from {} to {} sequences over {}", start, full, ramp);
  while (firsts_.back() < ramp) {
    require_usage(firsts_.size() < most_steps,
                  "the batch would grow over more than {} steps: start with a larger one, or grow "
                  "over fewer tokens",
                  most_steps);
    const double read = static_cast<double>(firsts_.back()) / static_cast<double>(ramp);
    const auto more = static_cast<int64_t>(static_cast<double>(full - start) * read);
    firsts_.push_back(firsts_.back() + start + more);
  }
}

int64_t BatchPlan::first(int64_t step) const {
  const auto last = static_cast<int64_t>(firsts_.size()) - 1;
  if (step <= last) return firsts_[static_cast<size_t>(step)];
  return firsts_.back() + (step - last) * full_;
}

int64_t BatchPlan::step_of(int64_t sequence) const {
  if (sequence >= firsts_.back())
    return static_cast<int64_t>(firsts_.size()) - 1 + (sequence - firsts_.back()) / full_;
  return std::ranges::upper_bound(firsts_, sequence) - firsts_.begin() - 1;
}

}  // namespace katman
