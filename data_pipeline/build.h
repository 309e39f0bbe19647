// From raw files to a corpus: the whole data pipeline in one call.
//
// Pass 1 reads and cleans pages on all cores and puts the text into compressed scratch files; the
// hashes of all texts say which are exact copies of an earlier one; the vocabulary is learned from
// what is left; pass 2 turns it into token shards. Memory does not grow with the input but for a
// few bits per document. What is written is a function of the input files and the options: not of
// the number of threads, the clock or the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data_pipeline/build/progress.h"
#include "data_pipeline/build/report.h"
#include "data_pipeline/clean/clean.h"
#include "data_pipeline/corpus/manifest.h"
#include "data_pipeline/corpus/writer.h"
#include "data_pipeline/read/pages.h"
#include "data_pipeline/tokenize/pattern.h"
#include "data_pipeline/tokenize/tokenizer.h"

namespace katman {

struct BuildOptions {
  std::vector<std::string> inputs;  // files and directories, as for list_inputs()
  std::string out;                  // directory of the corpus, or file of the tokenizer
  bool force = false;               // replace what is at `out`
  int threads = 1;

  std::string tokenizer;           // path of a tokenizer to use; empty: learn one
  std::optional<Pattern> pattern;  // of a learned one (gpt2), or of a file that does not say it
  uint32_t vocabulary = 32768;     // of a learned one
  uint64_t learn_from_bytes = uint64_t{1} << 30;  // a sample of the text, if there is more

  // Share of the text held out, in (0, 1). 0: one per cent, but 1 MB of text where that is a
  // tenth of the corpus at most, and 64 MB where one per cent is more.
  double validation = 0;

  ReadOptions read;
  CleanOptions clean;
  ShardLimits shards;
};

struct BuildResult {
  Ledger ledger;
  Manifest manifest;
};

// Builds the corpus `options.out`. Throws UsageError if there is one already and not `force`, Error
// if anything else is in the way; then, as after a stop, `out` is as it was before.
BuildResult build_corpus(const BuildOptions& options, Progress& progress);

// The first half of the same: learns a tokenizer and writes it to the file `options.out`.
Ledger train_tokenizer(const BuildOptions& options, Progress& progress);

}  // namespace katman
