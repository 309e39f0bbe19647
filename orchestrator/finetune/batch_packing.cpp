#include "orchestrator/finetune/batch_packing.h"

#include <algorithm>
#include <numeric>

#include "data_pipeline/examples/packing.h"

namespace katman {
namespace {

// Steps by which lengths of sequences are compared.
constexpr int64_t sampled_steps = 64;
// Longer sequences pack better and cost more attention: they have to save this share of the tokens.
constexpr double worth_lengthening = 0.03;

}  // namespace

BatchPacking::BatchPacking(Run run) : run_(std::move(run)), length_(run_.least_length) {
  const int64_t some = std::min(run_.steps, sampled_steps);
  const auto tokens = [&](int64_t length) {
    return static_cast<double>(needed(some, length) * length);
  };
  double fewest = tokens(length_);
  for (int64_t length = 2 * length_; length <= run_.most_length; length *= 2) {
    if (needed(some, length) < run_.shares) break;
    if (tokens(length) > (1 - worth_lengthening) * fewest) continue;
    length_ = length;
    fewest = tokens(length);
  }
  sequences_ = needed(run_.steps, length_);
}

std::vector<std::vector<int64_t>> BatchPacking::packed(int64_t step, int64_t length) const {
  std::vector<int64_t> examples, lengths;
  for (int64_t place = step * run_.batch; place < (step + 1) * run_.batch; ++place) {
    examples.push_back(run_.at(place));
    lengths.push_back(run_.lengths[static_cast<size_t>(examples.back())]);
  }
  auto sequences = pack(lengths, length);
  for (auto& sequence : sequences)
    for (int64_t& example : sequence) example = examples[static_cast<size_t>(example)];
  return sequences;
}

int64_t BatchPacking::needed(int64_t steps, int64_t length) const {
  int64_t most = 1;
  for (int64_t step = 0; step < steps; ++step)
    most = std::max(most, std::ssize(packed(step, length)));
  return most;
}

double BatchPacking::padding(int64_t sequences, int64_t length) const {
  const auto sum = std::accumulate(run_.lengths.begin(), run_.lengths.end(), int64_t{0});
  const double mean = static_cast<double>(sum) / static_cast<double>(run_.lengths.size());
  return 1 - mean * static_cast<double>(run_.batch) / static_cast<double>(sequences * length);
}

std::vector<int64_t> BatchPacking::examples(int64_t number) const {
  const int64_t step = number / sequences_;
  const auto sequence = static_cast<size_t>(number % sequences_);
  const std::lock_guard lock(newest_->mutex);
  if (newest_->step != step) newest_->sequences = packed(step, length_);
  newest_->step = step;
  if (sequence >= newest_->sequences.size()) return {};
  return newest_->sequences[sequence];
}

}  // namespace katman
