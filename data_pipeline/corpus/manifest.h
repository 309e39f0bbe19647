// What a corpus is made of: the contents of its corpus.json, written last, so that a directory has
// one exactly when everything else in it is complete.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace katman {

enum class Split { train, validation };
inline constexpr std::array<Split, 2> all_splits = {Split::train, Split::validation};
const char* name(Split split);

struct SourcesEntry {
  std::string file;      // relative to the corpus
  std::string checksum;  // of its header, which vouches for the rest
  friend bool operator==(const SourcesEntry&, const SourcesEntry&) = default;
};

struct ShardEntry {
  std::string file;  // relative to the corpus
  uint64_t tokens = 0, documents = 0, bytes = 0;
  std::string checksum;                      // of the shard's header, which vouches for the rest
  std::optional<SourcesEntry> sources = {};  // where its documents came from (sources.h), if known
  friend bool operator==(const ShardEntry&, const ShardEntry&) = default;
};

struct SplitEntry {
  uint64_t tokens = 0, documents = 0;
  uint64_t text_bytes = 0;  // UTF-8, without end-of-document tokens: for bits per byte
  std::vector<ShardEntry> shards;
  friend bool operator==(const SplitEntry&, const SplitEntry&) = default;
};

struct Manifest {
  std::string tokenizer_file;         // relative to the corpus
  std::string tokenizer_fingerprint;  // what the ids mean
  uint64_t vocabulary = 0;            // every id is below it
  uint32_t end_of_document = 0;
  std::string sources;  // hash of the list of inputs: names and sizes, in order
  std::array<SplitEntry, 2> splits;

  SplitEntry& split(Split s) { return splits[static_cast<size_t>(s)]; }
  const SplitEntry& split(Split s) const { return splits[static_cast<size_t>(s)]; }
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

inline constexpr const char* manifest_file = "corpus.json";

// The same manifest gives the same text. Reading throws an Error naming `path` for text that is not
// a manifest.
std::string to_json(const Manifest& manifest);
Manifest parse_manifest(const std::string& json, const std::string& path);

}  // namespace katman
