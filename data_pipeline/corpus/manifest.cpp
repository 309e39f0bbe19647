#include "data_pipeline/corpus/manifest.h"

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* format = "katman corpus";
constexpr int version = 1;

Json shard_json(const ShardEntry& shard) {
  Json json = {{"file", shard.file},
               {"tokens", shard.tokens},
               {"documents", shard.documents},
               {"bytes", shard.bytes},
               {"checksum", shard.checksum}};
  if (shard.sources)
    json["sources"] = {{"file", shard.sources->file}, {"checksum", shard.sources->checksum}};
  return json;
}

Json split_json(const SplitEntry& split) {
  Json shards = Json::array();
  for (const auto& shard : split.shards) shards.push_back(shard_json(shard));
  return {{"tokens", split.tokens},
          {"documents", split.documents},
          {"text_bytes", split.text_bytes},
          {"shards", shards}};
}

// Corpora that do not say where their documents came from have no "sources".
ShardEntry parse_shard(const Json& json) {
  ShardEntry shard{json.at("file"), json.at("tokens"), json.at("documents"), json.at("bytes"),
                   json.at("checksum")};
  if (const auto sources = json.find("sources"); sources != json.end())
    shard.sources = SourcesEntry{sources->at("file"), sources->at("checksum")};
  return shard;
}

SplitEntry parse_split(const Json& json) {
  SplitEntry split{json.at("tokens"), json.at("documents"), json.at("text_bytes"), {}};
  for (const auto& shard : json.at("shards")) split.shards.push_back(parse_shard(shard));
  return split;
}

}  // namespace

const char* name(Split split) { return split == Split::train ? "train" : "validation"; }

std::string to_json(const Manifest& manifest) {
  Json json = {{"format", format},
               {"version", version},
               {"tokenizer",
                {{"file", manifest.tokenizer_file},
                 {"fingerprint", manifest.tokenizer_fingerprint},
                 {"vocabulary", manifest.vocabulary},
                 {"end_of_document", manifest.end_of_document}}},
               {"sources", manifest.sources}};
  for (const Split split : all_splits)
    json["splits"][name(split)] = split_json(manifest.split(split));
  return json.dump(2) + "\n";
}

Manifest parse_manifest(const std::string& text, const std::string& path) {
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    require(json.at("format") == format, "{} does not describe a corpus", path);
    require(json.at("version") == version, "{} has version {}, this program reads version {}", path,
            json.at("version").dump(), version);
    const Json& tokenizer = json.at("tokenizer");
    manifest.tokenizer_file = tokenizer.at("file");
    manifest.tokenizer_fingerprint = tokenizer.at("fingerprint");
    manifest.vocabulary = tokenizer.at("vocabulary");
    manifest.end_of_document = tokenizer.at("end_of_document");
    manifest.sources = json.at("sources");
    for (const Split split : all_splits)
      manifest.split(split) = parse_split(json.at("splits").at(name(split)));
  } catch (const Json::exception& error) {
    fail("{} is not a corpus manifest ({}); rebuild the corpus", path, error.what());
  }
  return manifest;
}

}  // namespace katman
