#include "data_pipeline/corpus/corpus.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "data_pipeline/corpus/hash.h"
#include "data_pipeline/corpus/sources.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// The last i with first[i] <= position. Empty shards share their start with the next one.
size_t find_shard(const std::vector<uint64_t>& first, uint64_t position) {
  return static_cast<size_t>(std::upper_bound(first.begin(), first.end(), position) -
                             first.begin()) -
         1;
}

// The file that says where the documents of a shard came from.
Sources open_sources(const std::string& directory, const ShardEntry& shard) {
  const std::string path = (fs::path(directory) / shard.sources->file).string();
  Sources sources(path);
  require(
      hex(sources.checksum()) == shard.sources->checksum && sources.documents() == shard.documents,
      "{} is not the file that {} describes: it belongs to another build", path, manifest_file);
  return sources;
}

}  // namespace

Corpus Corpus::open(const std::string& directory) {
  const std::string path = (fs::path(directory) / manifest_file).string();
  require(fs::exists(path),
          "{} is not a corpus: it has no {}; make one with `katman data build --out {}`", directory,
          manifest_file, directory);
  Corpus corpus;
  corpus.directory_ = directory;
  corpus.manifest_ = parse_manifest(read_whole_file(path), path);
  require(fs::exists(corpus.tokenizer_path()), "{} is missing: the corpus names it as tokenizer",
          corpus.tokenizer_path());
  for (const Split split : all_splits) corpus.open_shards(split);
  return corpus;
}

void Corpus::open_shards(Split split) {
  Part& part = parts_[static_cast<size_t>(split)];
  uint64_t tokens = 0, documents = 0;
  for (const ShardEntry& entry : manifest_.split(split).shards) {
    part.shards.emplace_back((fs::path(directory_) / entry.file).string());
    const Shard& shard = part.shards.back();
    require(hex(shard.checksum()) == entry.checksum && shard.bytes() == entry.bytes &&
                shard.tokens() == entry.tokens && shard.documents() == entry.documents,
            "{} is not the shard that {} describes: it belongs to another build", shard.path(),
            manifest_file);
    require(shard.tokenizer_fingerprint() == manifest_.tokenizer_fingerprint,
            "{} was made with tokenizer {}, the corpus with {}", shard.path(),
            shard.tokenizer_fingerprint(), manifest_.tokenizer_fingerprint);
    require(shard.tokens() == 0 || shard.largest_id() < manifest_.vocabulary,
            "{} holds token {}, outside the vocabulary of {}", shard.path(), shard.largest_id(),
            manifest_.vocabulary);
    part.first_token.push_back(tokens);
    part.first_document.push_back(documents);
    tokens += shard.tokens();
    documents += shard.documents();
  }
  const SplitEntry& whole = manifest_.split(split);
  require(tokens == whole.tokens && documents == whole.documents,
          "{}: the {} shards hold {} tokens, the manifest says {}", directory_, name(split), tokens,
          whole.tokens);
}

std::string Corpus::tokenizer_path() const {
  return (fs::path(directory_) / manifest_.tokenizer_file).string();
}

void Corpus::copy(Split split, uint64_t first, std::span<int32_t> out) const {
  require(first <= tokens(split) && out.size() <= tokens(split) - first,
          "tokens {} to {} are outside the {} tokens of the {} split of {}", first,
          first + out.size(), tokens(split), name(split), directory_);
  const Part& from = part(split);
  if (out.empty()) return;
  for (size_t s = find_shard(from.first_token, first); !out.empty(); ++s) {
    const uint64_t begin = first - from.first_token[s];
    const uint64_t n = std::min<uint64_t>(out.size(), from.shards[s].tokens() - begin);
    from.shards[s].copy(begin, out.first(n));
    out = out.subspan(n);
    first += n;
  }
}

size_t Corpus::shard_of(Split split, uint64_t d) const {
  require(d < documents(split), "document {} is outside the {} documents of the {} split of {}", d,
          documents(split), name(split), directory_);
  return find_shard(part(split).first_document, d);
}

std::vector<int32_t> Corpus::document(Split split, uint64_t d) const {
  const Part& from = part(split);
  const size_t s = shard_of(split, d);
  const Shard& shard = from.shards[s];
  const uint64_t local = d - from.first_document[s];
  const uint64_t begin = shard.document_begin(local), end = shard.document_end(local);
  require(begin <= end && end <= shard.tokens(),
          "{}: document {} lies at tokens {} to {}; `katman data inspect --verify` says what is "
          "damaged",
          shard.path(), local, begin, end);
  std::vector<int32_t> tokens(end - begin);
  shard.copy(begin, tokens);
  return tokens;
}

Corpus::DocumentPlace Corpus::document_at(Split split, uint64_t token) const {
  require(token < tokens(split), "token {} is outside the {} tokens of the {} split of {}", token,
          tokens(split), name(split), directory_);
  const Part& from = part(split);
  const size_t s = find_shard(from.first_token, token);
  return place(from, s, from.shards[s].document_of(token - from.first_token[s]));
}

Corpus::DocumentPlace Corpus::place(Split split, uint64_t d) const {
  const size_t s = shard_of(split, d);
  return place(part(split), s, d - part(split).first_document[s]);
}

Corpus::DocumentPlace Corpus::place(const Part& from, size_t s, uint64_t local) {
  const Shard& shard = from.shards[s];
  const uint64_t first = from.first_token[s];
  return {from.first_document[s] + local, first + shard.document_begin(local),
          first + shard.document_end(local), shard.path()};
}

std::string Corpus::source(Split split, uint64_t d) const {
  const size_t s = shard_of(split, d);
  const ShardEntry& shard = manifest_.split(split).shards[s];
  if (!shard.sources) return {};
  return open_sources(directory_, shard).of(d - part(split).first_document[s]);
}

bool Corpus::has_sources(Split split) const {
  const auto& shards = manifest_.split(split).shards;
  return std::ranges::any_of(shards,
                             [](const ShardEntry& shard) { return shard.sources.has_value(); });
}

void Corpus::verify() const {
  for (const Split split : all_splits) {
    for (const Shard& shard : part(split).shards) shard.verify();
    for (const ShardEntry& shard : manifest_.split(split).shards)
      if (shard.sources) open_sources(directory_, shard).verify();
  }
}

}  // namespace katman
