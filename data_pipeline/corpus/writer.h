// Writes a corpus: documents in, shards and a manifest out.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "data_pipeline/corpus/manifest.h"
#include "data_pipeline/corpus/shard.h"
#include "data_pipeline/corpus/sources.h"

namespace katman {

// When a shard is full. The defaults keep shards under about 600 MB, and the document table that
// the writer holds in memory under 64 MB.
struct ShardLimits {
  uint64_t tokens = uint64_t{1} << 28;
  uint64_t documents = uint64_t{1} << 23;
};

// Appends documents to the shards of their split, opening the next shard when one is full. What is
// written depends on the documents and their order only.
class CorpusWriter {
 public:
  // `manifest` comes with the tokenizer and the sources; the writer fills in the splits.
  CorpusWriter(std::string directory, Manifest manifest, ShardLimits limits = {});

  // One document with its end-of-document token, made from `text_bytes` bytes of text. `source`
  // says where it came from (sources.h); a shard of which no document says it gets no such file.
  void add(Split split, std::span<const uint32_t> tokens, uint64_t text_bytes,
           std::string_view source = {});

  // Completes the shards. The manifest is returned, not written: that is the caller's last act.
  Manifest finish();

 private:
  struct OpenShard {
    ShardWriter tokens;
    SourcesWriter sources;
  };
  void close_shard(Split split);

  std::string directory_;
  Manifest manifest_;
  ShardLimits limits_;
  std::array<std::unique_ptr<OpenShard>, 2> open_;  // [split]
};

}  // namespace katman
