// A corpus: token shards in two splits, the tokenizer that made them, and the manifest that names
// them. Each split reads as one array of tokens.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "data_pipeline/corpus/manifest.h"
#include "data_pipeline/corpus/shard.h"

namespace katman {

// An open corpus, immutable and safe to read from many threads.
class Corpus {
 public:
  // Opens what `directory`/corpus.json names. Checks everything that does not need reading the
  // tokens: sizes, headers, counts, that every largest id is below the vocabulary, that the shards
  // were made with the corpus's tokenizer. Throws an Error naming the file that is missing or
  // wrong.
  static Corpus open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const Manifest& manifest() const { return manifest_; }
  std::string tokenizer_path() const;
  uint64_t tokens(Split split) const { return manifest_.split(split).tokens; }
  uint64_t documents(Split split) const { return manifest_.split(split).documents; }

  // Tokens [first, first + out.size()) of the split, across shards.
  void copy(Split split, uint64_t first, std::span<int32_t> out) const;
  // All tokens of document d of the split, the end-of-document token last.
  std::vector<int32_t> document(Split split, uint64_t d) const;

  // Where a document lies: that which a token of the split belongs to, or document d of it.
  struct DocumentPlace {
    uint64_t number = 0;          // in the split
    uint64_t begin = 0, end = 0;  // its tokens, in the split
    std::string shard;            // the file that holds it
  };
  DocumentPlace document_at(Split split, uint64_t token) const;
  DocumentPlace place(Split split, uint64_t d) const;

  // Where document d of the split came from: the address of its page, or its place in a file of the
  // input; empty where the corpus does not say it. Opens the file that does: some ten microseconds.
  // Training needs none of them, so one that is missing or damaged is found here, and by verify().
  std::string source(Split split, uint64_t d) const;
  bool has_sources(Split split) const;

  // Reads every byte against its checksum; throws naming the first damaged file and block.
  void verify() const;

 private:
  struct Part {
    std::vector<Shard> shards;
    std::vector<uint64_t> first_token;     // [shard]
    std::vector<uint64_t> first_document;  // [shard]
  };
  static DocumentPlace place(const Part& from, size_t shard, uint64_t local);
  const Part& part(Split split) const { return parts_[static_cast<size_t>(split)]; }
  void open_shards(Split split);
  // The shard that holds document d of the split.
  size_t shard_of(Split split, uint64_t d) const;

  std::string directory_;
  Manifest manifest_;
  std::array<Part, 2> parts_;  // [split]
};

}  // namespace katman
