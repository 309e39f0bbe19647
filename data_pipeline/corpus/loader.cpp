#include "data_pipeline/corpus/loader.h"

#include "core/error.h"
#include "data_pipeline/corpus/hash.h"
#include "data_pipeline/corpus/permute.h"

namespace katman {

Loader::Loader(const Corpus& corpus, Split split, int64_t sequence, uint64_t seed)
    : corpus_(corpus),
      split_(split),
      sequence_(sequence),
      key_(Key(seed).at("samples").at(name(split))) {
  require(sequence > 0, "a sequence of {} tokens cannot be trained on", sequence);
  const uint64_t tokens = corpus.tokens(split);
  require(tokens > static_cast<uint64_t>(sequence),
          "the {} split of {} has {} tokens, fewer than one sample of {} + 1; use a shorter "
          "sequence or more input",
          name(split), corpus.directory(), tokens, sequence);
  windows_ = (tokens - 1) / static_cast<uint64_t>(sequence);
}

uint64_t Loader::first_token(uint64_t index) const {
  return permute(index % windows_, windows_, key_.at(index / windows_)) *
         static_cast<uint64_t>(sequence_);
}

void Loader::sample(uint64_t index, std::span<int32_t> tokens) const {
  require(tokens.size() == static_cast<uint64_t>(sequence_) + 1,
          "a sample has {} tokens, but there is room for {}", sequence_ + 1, tokens.size());
  corpus_.copy(split_, first_token(index), tokens);
}

uint64_t sample_digest(uint64_t index, std::span<const int32_t> tokens) {
  return mix64(hash64(tokens.data(), tokens.size_bytes()) ^ mix64(index + 1));
}

}  // namespace katman
