// Fine-tuning files as tokens: read once, then example i is there for the asking.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data_pipeline/examples/record.h"

namespace katman {

// How files are read.
struct ExampleFormat {
  FinetuneTask task = FinetuneTask::completion;
  int64_t most_tokens = 0;  // of a sequence
  // Names of the classes in their order; empty: those that occur, in order (numbers as numbers).
  std::vector<std::string> labels = {};
};

// The examples of some files in their order, about four bytes per token. Immutable, safe to read
// from many threads.
//
// A sequence that is too long is shortened: a prompt or a conversation from its beginning, other
// texts from their ends, the longest first. A completion is never cut.
class Examples {
 public:
  // JSON lines, gzip and zstd too, blank lines left out; what a line holds: see record.h. Throws
  // Error that names file and line for one that cannot be used, and for files without examples.
  static Examples read(const std::vector<std::string>& files, const ExampleFormat& format,
                       const Tokenizer& tokenizer);

  int64_t size() const { return static_cast<int64_t>(begin_.size()) - 1; }
  // The most sequences of an example: more than one for similarity and choices.
  int64_t sequences() const { return sequences_; }
  int64_t longest() const { return longest_; }      // tokens of the longest sequence
  int64_t shortened() const { return shortened_; }  // sequences
  const std::vector<std::string>& labels() const { return labels_; }
  // Counted tokens of all examples.
  int64_t counted() const { return counted_; }

  // Tokens of sequence `sequence` of an example; ~id (below zero) for a token that is counted.
  // Empty for a choice that the example does not have.
  std::span<const int32_t> tokens(int64_t example, int64_t sequence) const;
  // The class or the choice that is right; -1 without a head.
  int32_t label(int64_t example) const { return labels_of_[static_cast<size_t>(example)]; }

 private:
  void add(const Record& record, const ExampleFormat& format, const Tokenizer& tokenizer,
           Encoder& encoder);
  void name_labels(const ExampleFormat& format, const std::vector<std::string>& found,
                   const std::vector<std::string>& places);

  std::vector<int32_t> tokens_;
  std::vector<uint64_t> ends_;         // [sequence over all examples], in tokens_
  std::vector<uint64_t> begin_ = {0};  // [example], its first sequence; one more for the end
  std::vector<int32_t> labels_of_;     // [example]
  std::vector<std::string> labels_;
  int64_t sequences_ = 1, longest_ = 0, shortened_ = 0, counted_ = 0;
};

// Lays `tokens` out as rows: ids are the tokens and then `padding`, the target of each is the next
// one where that is counted and -1 elsewhere. Tokens that find no place are only targets.
void lay_out(std::span<const int32_t> tokens, int32_t padding, std::span<int32_t> ids,
             std::span<int32_t> targets);

}  // namespace katman
