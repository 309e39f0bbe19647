#include "orchestrator/run_data.h"

#include <algorithm>
#include <chrono>

#include "orchestrator/control/spec.h"

namespace katman {

RunData::RunData(const RunSpec& spec)
    : corpus_(Corpus::open(spec.data().corpus())),
      training_(corpus_, Split::train, model_config(spec, vocabulary()).sequence, spec.seed()),
      mask_(input_mask(spec, vocabulary())) {
  const int64_t sequence = training_.sequence();
  if (corpus_.tokens(Split::validation) <= static_cast<uint64_t>(sequence)) return;
  // In the order of the corpus's permutation, the same sequences every time.
  validation_.emplace(corpus_, Split::validation, sequence, spec.seed());
  validation_sequences_ = static_cast<int64_t>(
      std::min<uint64_t>(spec.validation().sequences(), validation_->samples_per_epoch()));
}

Samples RunData::training(bool digested) {
  const Samples text = windows([this, digested](uint64_t number, std::span<int32_t> tokens) {
    const uint64_t index = skipped_.nth(number);
    const auto begin = std::chrono::steady_clock::now();
    training_.sample(index, tokens);
    read_ns_ += std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
    if (digested) digest_ += sample_digest(index, tokens);
  });
  return with_mask(with_documents(text, end_of_document()), mask_);
}

Samples RunData::validation() const {
  const Samples text = windows(
      [this](uint64_t index, std::span<int32_t> tokens) { validation_->sample(index, tokens); });
  return with_documents(text, end_of_document());
}

double RunData::validation_bytes_per_token() const {
  const SplitEntry& entry = corpus_.manifest().split(Split::validation);
  return static_cast<double>(entry.text_bytes) /
         static_cast<double>(std::max<uint64_t>(1, entry.tokens));
}

}  // namespace katman
