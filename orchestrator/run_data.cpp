#include "orchestrator/run_data.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "data_pipeline/corpus/loader.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/finetune/finetune_data.h"
#include "orchestrator/text_samples.h"
#include "parallel/checkpoint/files.h"

namespace katman {
namespace {

// Pre-training: windows of a corpus.
class CorpusData : public RunData {
 public:
  explicit CorpusData(const RunSpec& spec)
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

  const std::string& source() const override { return corpus_.directory(); }
  int64_t vocabulary() const override {
    return static_cast<int64_t>(corpus_.manifest().vocabulary);
  }
  std::string tokenizer_fingerprint() const override {
    return corpus_.manifest().tokenizer_fingerprint;
  }
  Tokenizer tokenizer() const override { return Tokenizer::load(corpus_.tokenizer_path()); }
  void write_tokenizer(const std::filesystem::path& path) const override {
    Files().write(path, read_text(corpus_.tokenizer_path()));
  }
  void shape(TrainConfig&) const override {}

  int64_t validation_sequences() const override { return validation_sequences_; }
  std::string why_not() const override {
    return fmt::format("the validation split of {} has {} tokens, fewer than one sequence of {}",
                       source(), corpus_.tokens(Split::validation), training_.sequence());
  }
  Samples validation() const override {
    const Samples text = windows(
        [this](uint64_t index, std::span<int32_t> tokens) { validation_->sample(index, tokens); });
    return with_documents(text, end_of_document());
  }
  double validation_bytes_per_token() const override {
    const SplitEntry& entry = corpus_.manifest().split(Split::validation);
    return static_cast<double>(entry.text_bytes) /
           static_cast<double>(std::max<uint64_t>(1, entry.tokens));
  }

 private:
  void sample(uint64_t index, const Sequence& out) const override { text_(index, out); }
  int32_t end_of_document() const {
    return static_cast<int32_t>(corpus_.manifest().end_of_document);
  }

  Corpus corpus_;
  Loader training_;
  InputMask mask_;
  Samples text_ =
      with_mask(with_documents(windows([this](uint64_t index, std::span<int32_t> tokens) {
                                 training_.sample(index, tokens);
                               }),
                               end_of_document()),
                mask_);
  std::optional<Loader> validation_;
  int64_t validation_sequences_ = 0;
};

}  // namespace

Samples RunData::training(bool digested) {
  return [this, digested](uint64_t number, const Sequence& out) {
    const uint64_t index = skipped_.nth(number);
    const auto begin = std::chrono::steady_clock::now();
    sample(index, out);
    read_ns_ += std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
    if (digested) digest_ += sample_digest(index, out.ids);
  };
}

std::unique_ptr<RunData> open_run_data(const RunSpec& spec) {
  if (spec.has_finetune()) return std::make_unique<FinetuneData>(spec);
  return std::make_unique<CorpusData>(spec);
}

TrainConfig train_config(const RunSpec& spec, const RunData& data) {
  TrainConfig config = train_config(spec, data.vocabulary());
  data.shape(config);
  return config;
}

}  // namespace katman
