// The corpus as a run sees it: samples by number, and a count of what was consumed.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "data_pipeline/corpus/loader.h"
#include "data_pipeline/corpus/skipped.h"
#include "orchestrator/text_samples.h"
#include "parallel/trainer.h"
#include "proto/run.pb.h"

namespace katman {

// What one rank of a run reads. Opens the corpus of a completed spec; throws Error naming the file
// that is missing or wrong. Not copyable: the functions it gives out refer to it.
class RunData {
 public:
  explicit RunData(const RunSpec& spec);
  RunData(const RunData&) = delete;
  RunData& operator=(const RunData&) = delete;

  const Corpus& corpus() const { return corpus_; }
  int64_t vocabulary() const { return static_cast<int64_t>(corpus_.manifest().vocabulary); }

  // `digested`: these samples count in digest(). One rank of every replica does that.
  Samples training(bool digested);
  // Sum of sample_digest over the training samples that this rank consumed, modulo 2^64.
  uint64_t digest() const { return digest_; }
  // Seconds spent in reading training samples, by all threads together, since the last call.
  double take_read_s() { return 1e-9 * static_cast<double>(read_ns_.exchange(0)); }

  // Leaves training samples [first, first + count) out from now on.
  void skip(uint64_t first, uint64_t count) { skipped_.add(first, count); }
  const Skipped& skipped() const { return skipped_; }

  // Sequences to validate on: what the spec asks for, as far as the split goes; 0 when the split is
  // shorter than one.
  int64_t validation_sequences() const { return validation_sequences_; }
  Samples validation() const;
  double validation_bytes_per_token() const;

 private:
  int32_t end_of_document() const {
    return static_cast<int32_t>(corpus_.manifest().end_of_document);
  }

  Corpus corpus_;
  Loader training_;
  Skipped skipped_;
  InputMask mask_;
  std::optional<Loader> validation_;
  int64_t validation_sequences_ = 0;
  std::atomic<uint64_t> digest_ = 0;
  std::atomic<int64_t> read_ns_ = 0;
};

}  // namespace katman
