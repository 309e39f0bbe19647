// Documents of a corpus as a person asks for them, in JSON for page, command line and scripts
// alike: where each came from, and what it says.
//
// "source" is the address of its page or its place in a file of the input
// (data_pipeline/corpus/sources.h), null where the corpus does not say it; then "source_error" says
// why, if that is because a file cannot be read.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data_pipeline/corpus/corpus.h"
#include "data_pipeline/corpus/loader.h"
#include "data_pipeline/corpus/skipped.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "proto/run.pb.h"

namespace katman {

// All of a document: {"number", "split", "shard", "tokens", "text", "source"}.
nlohmann::json document_view(const Corpus& corpus, const Tokenizer& tokenizer, Split split,
                             uint64_t number);

// The pieces of documents that a training sample is made of: {"index", "epoch", "first_token",
// "documents": [{"number", "shard", "tokens", "of", "from", "text", "source"}, ...]}; the text is
// how the piece begins.
nlohmann::json sample_view(const Loader& loader, const Tokenizer& tokenizer, uint64_t index);

// The source of such a view in words, also where it is not known or not readable.
std::string source_words(const nlohmann::json& view);

// Which samples a run trains on. They are not written down: a batch is a function of the step and
// of what rollbacks left out.
class RunSamples {
 public:
  // Of a completed spec. Throws UsageError for a run that is fine-tuned.
  explicit RunSamples(const RunSpec& spec);
  RunSamples(const RunSamples&) = delete;
  RunSamples& operator=(const RunSamples&) = delete;

  const Corpus& corpus() const { return corpus_; }
  uint64_t batch() const { return batch_; }  // samples in a step
  uint64_t sequence() const { return static_cast<uint64_t>(loader_.sequence()); }
  // The number of the i-th sample of a step, i < batch(): its "index", and what a rollback's event
  // names it by.
  uint64_t index(uint64_t step, uint64_t i) const { return skipped_.nth(step * batch_ + i); }
  nlohmann::json view(uint64_t index) const;

 private:
  Corpus corpus_;
  Tokenizer tokenizer_;
  uint64_t batch_;
  Loader loader_;
  Skipped skipped_;
};

}  // namespace katman
