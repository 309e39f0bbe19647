// Corpora from and for other programs.
#pragma once

#include <string>

#include "data_pipeline/build/progress.h"
#include "data_pipeline/corpus/manifest.h"

namespace katman {

// Writes the corpus as OUT/train and OUT/validation in Megatron-LM's format (corpus/megatron.h),
// beside its tokenizer.json. Documents keep their end-of-document token.
void export_megatron(const std::string& corpus, const std::string& out, Progress& progress);

struct MegatronImport {
  std::string prefix;     // of PREFIX.bin and PREFIX.idx
  std::string tokenizer;  // path of the one that the ids are of
  std::string out;        // directory of the corpus
  double validation = 0;  // as in BuildOptions
  bool force = false;     // replace what is at `out`
};

// Makes a corpus of token data in that format. Documents that do not end with the tokenizer's
// end-of-document token get one; which are held out is decided by their text, as when a corpus is
// built from pages.
Manifest import_megatron(const MegatronImport& options, Progress& progress);

}  // namespace katman
