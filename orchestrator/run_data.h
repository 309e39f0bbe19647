// What a run reads: samples by number, and a count of what was consumed.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "data_pipeline/corpus/skipped.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "orchestrator/control/metrics.h"
#include "parallel/trainer.h"
#include "proto/run.pb.h"

namespace katman {

// The data of one rank. Not copyable: the functions it gives out refer to it.
class RunData {
 public:
  RunData() = default;
  virtual ~RunData() = default;
  RunData(const RunData&) = delete;
  RunData& operator=(const RunData&) = delete;

  virtual const std::string& source() const = 0;  // the directory it is from, for messages
  virtual int64_t vocabulary() const = 0;
  virtual std::string tokenizer_fingerprint() const = 0;
  // Throws Error for one that cannot be read.
  virtual Tokenizer tokenizer() const = 0;
  virtual void write_tokenizer(const std::filesystem::path& path) const = 0;
  // What of the configuration follows from the data.
  virtual void shape(TrainConfig& config) const = 0;
  // What a person should know about it, a sentence; empty: nothing.
  virtual std::string about() const { return {}; }

  // digested: these samples count in digest(). One rank of every replica does that.
  Samples training(bool digested);
  // Sum of sample_digest over the training samples that this rank consumed, modulo 2^64.
  uint64_t digest() const { return digest_; }
  // Seconds spent in reading training samples, by all threads together, since the last call.
  double take_read_s() { return 1e-9 * static_cast<double>(read_ns_.exchange(0)); }

  // Leaves training samples [first, first + count) out from now on.
  void skip(uint64_t first, uint64_t count) { skipped_.add(first, count); }
  const Skipped& skipped() const { return skipped_; }

  // Sequences to validate on, 0 when there are none; why_not() says why.
  virtual int64_t validation_sequences() const = 0;
  virtual std::string why_not() const = 0;
  virtual Samples validation() const = 0;
  virtual double validation_bytes_per_token() const = 0;  // 0: not known

  // What a task head's answers on the validation sequences are worth; nothing without a head.
  virtual Scalars judge(const Trainer::Examination&) const { return {}; }
  // The answers one by one, and a table of what they are worth, which is returned too.
  virtual std::string write_report(const Trainer::Examination&,
                                   const std::filesystem::path& /*directory*/) const {
    return {};
  }

 protected:
  virtual void sample(uint64_t index, const Sequence& out) const = 0;

 private:
  Skipped skipped_;
  std::atomic<uint64_t> digest_ = 0;
  std::atomic<int64_t> read_ns_ = 0;
};

// Opens the data of a completed spec; throws Error naming the file that is missing or wrong.
std::unique_ptr<RunData> open_run_data(const RunSpec& spec);

// What the trainer needs to know, from a completed spec and its data.
TrainConfig train_config(const RunSpec& spec, const RunData& data);

}  // namespace katman
