#include "data_pipeline/corpus/writer.h"

#include <fmt/format.h>

#include <filesystem>

#include "data_pipeline/corpus/hash.h"

namespace katman {
namespace {

std::string shard_name(Split split, size_t number) {
  return fmt::format("{}-{:05}.tokens", name(split), number);
}

}  // namespace

CorpusWriter::CorpusWriter(std::string directory, Manifest manifest, ShardLimits limits)
    : directory_(std::move(directory)), manifest_(std::move(manifest)), limits_(limits) {}

void CorpusWriter::add(Split split, std::span<const uint32_t> tokens, uint64_t text_bytes) {
  SplitEntry& entry = manifest_.split(split);
  auto& shard = open_[static_cast<size_t>(split)];
  if (!shard)
    shard = std::make_unique<ShardWriter>(
        (std::filesystem::path(directory_) / shard_name(split, entry.shards.size())).string(),
        manifest_.vocabulary, manifest_.tokenizer_fingerprint);
  shard->add(tokens);
  entry.tokens += tokens.size();
  entry.documents += 1;
  entry.text_bytes += text_bytes;
  if (shard->tokens() >= limits_.tokens || shard->documents() >= limits_.documents)
    close_shard(split);
}

void CorpusWriter::close_shard(Split split) {
  auto& shard = open_[static_cast<size_t>(split)];
  if (!shard) return;
  SplitEntry& entry = manifest_.split(split);
  ShardEntry done{shard_name(split, entry.shards.size()), shard->tokens(), shard->documents(), 0,
                  hex(shard->finish())};
  done.bytes = std::filesystem::file_size(std::filesystem::path(directory_) / done.file);
  entry.shards.push_back(std::move(done));
  shard.reset();
}

Manifest CorpusWriter::finish() {
  for (const Split split : all_splits) close_shard(split);
  return manifest_;
}

}  // namespace katman
