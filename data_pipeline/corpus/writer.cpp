#include "data_pipeline/corpus/writer.h"

#include <fmt/format.h>

#include <filesystem>

#include "data_pipeline/corpus/hash.h"

namespace katman {
namespace {

constexpr const char* tokens_suffix = ".tokens";
constexpr const char* sources_suffix = ".sources";

// Without its suffix.
std::string shard_name(Split split, size_t number) {
  return fmt::format("{}-{:05}", name(split), number);
}

}  // namespace

CorpusWriter::CorpusWriter(std::string directory, Manifest manifest, ShardLimits limits)
    : directory_(std::move(directory)), manifest_(std::move(manifest)), limits_(limits) {}

void CorpusWriter::add(Split split, std::span<const uint32_t> tokens, uint64_t text_bytes,
                       std::string_view source) {
  SplitEntry& entry = manifest_.split(split);
  auto& shard = open_[static_cast<size_t>(split)];
  if (!shard) {
    const std::string path =
        (std::filesystem::path(directory_) / shard_name(split, entry.shards.size())).string();
    shard.reset(
        new OpenShard{{path + tokens_suffix, manifest_.vocabulary, manifest_.tokenizer_fingerprint},
                      SourcesWriter(path + sources_suffix)});
  }
  shard->tokens.add(tokens);
  shard->sources.add(source);
  entry.tokens += tokens.size();
  entry.documents += 1;
  entry.text_bytes += text_bytes;
  if (shard->tokens.tokens() >= limits_.tokens || shard->tokens.documents() >= limits_.documents)
    close_shard(split);
}

void CorpusWriter::close_shard(Split split) {
  auto& shard = open_[static_cast<size_t>(split)];
  if (!shard) return;
  SplitEntry& entry = manifest_.split(split);
  const std::string name = shard_name(split, entry.shards.size());
  ShardEntry done{name + tokens_suffix, shard->tokens.tokens(), shard->tokens.documents(), 0,
                  hex(shard->tokens.finish())};
  done.bytes = std::filesystem::file_size(std::filesystem::path(directory_) / done.file);
  if (shard->sources.any())
    done.sources = SourcesEntry{name + sources_suffix, hex(shard->sources.finish())};
  entry.shards.push_back(std::move(done));
  shard.reset();
}

Manifest CorpusWriter::finish() {
  for (const Split split : all_splits) close_shard(split);
  return manifest_;
}

}  // namespace katman
