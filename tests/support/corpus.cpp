#include "tests/support/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "data_pipeline/corpus/writer.h"

namespace katman::testing {

void write_counting_corpus(const TempDir& dir, uint32_t tokens, uint32_t document,
                           uint64_t shard_tokens) {
  write_corpus(dir, tokens, document, shard_tokens, 1 << 20, std::identity());
}

void write_corpus(const TempDir& dir, uint32_t tokens, uint32_t document, uint64_t shard_tokens,
                  uint32_t vocabulary, const std::function<uint32_t(uint32_t)>& id_at) {
  Manifest manifest;
  manifest.tokenizer_file = "tokenizer.json";
  manifest.tokenizer_fingerprint = "f";
  manifest.vocabulary = vocabulary;
  dir.write(manifest.tokenizer_file, "{}");
  CorpusWriter writer(dir.path().string(), manifest, {.tokens = shard_tokens});
  for (uint32_t first = 0; first < tokens; first += document) {
    std::vector<uint32_t> ids;
    for (uint32_t id = first; id < std::min(tokens, first + document); ++id)
      ids.push_back(id_at(id));
    writer.add(Split::train, ids, 4 * ids.size(),
               fmt::format("http://a.example/{}", first / document));
  }
  dir.write(manifest_file, to_json(writer.finish()));
}

}  // namespace katman::testing
