// The examples of a fine-tuning run as sequences by number.
#pragma once

#include <optional>

#include "data_pipeline/examples/examples.h"
#include "orchestrator/finetune/batch_packing.h"
#include "orchestrator/run_data.h"

namespace katman {

// Example e of epoch n is example permute(e) of the files, each epoch with its own permutation; an
// example's sequences (choices, both orders) follow each other. All sequences of a run have one
// length, that of the longest, rounded up to sixteen tokens; shorter ones are padded. With
// finetune.pack the examples of a batch share sequences instead, each a document of its own.
class FinetuneData : public RunData {
 public:
  explicit FinetuneData(const RunSpec& spec);

  const std::string& source() const override { return spec_.finetune().from(); }
  int64_t vocabulary() const override { return tokenizer_.vocabulary(); }
  std::string tokenizer_fingerprint() const override { return tokenizer_.fingerprint(); }
  Tokenizer tokenizer() const override { return tokenizer_; }
  void write_tokenizer(const std::filesystem::path& path) const override;
  void shape(TrainConfig& config) const override;
  std::string about() const override;

  int64_t validation_sequences() const override;
  std::string why_not() const override { return "there is no finetune.held_out file"; }
  Samples validation() const override;
  double validation_bytes_per_token() const override { return 0; }

  Scalars judge(const Trainer::Examination& found) const override;
  std::string write_report(const Trainer::Examination& found,
                           const std::filesystem::path& directory) const override;

 private:
  Examples read(const google::protobuf::RepeatedPtrField<std::string>& files,
                const std::vector<std::string>& labels) const;
  int64_t longest() const;                  // tokens of a sequence that holds any example
  int64_t example_at(int64_t place) const;  // of the run's order
  BatchPacking packed_batches() const;
  void sample(uint64_t index, const Sequence& out) const override;
  void fill(const Examples& from, int64_t example, int64_t sequence, const Sequence& out) const;
  void fill_packed(const Examples& from, std::span<const int64_t> examples,
                   const Sequence& out) const;
  // Of held-out example `example`, what the head says: one logit for every class or choice.
  std::span<const float> logits(const Trainer::Examination& found, int64_t example) const;
  int64_t examined() const;  // held-out examples

  RunSpec spec_;
  FinetuneTask task_;
  Tokenizer tokenizer_;
  int64_t positions_;  // that a sequence may have
  Examples train_;
  std::optional<Examples> held_out_;
  int64_t each_;  // sequences of an example, in both
  std::optional<BatchPacking> packing_;
  std::vector<std::vector<int64_t>> packed_held_out_;  // [sequence]
};

}  // namespace katman
