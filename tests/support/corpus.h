// Corpora whose tokens are known without looking.
#pragma once

#include <cstdint>
#include <functional>

#include "tests/support/temp_dir.h"

namespace katman::testing {

// A corpus in `dir` whose training token at position p is p, in documents of `document` tokens and
// shards of about `shard_tokens`. Document d came from "http://a.example/d". Its tokenizer.json is
// a placeholder; there is no validation split.
void write_counting_corpus(const TempDir& dir, uint32_t tokens, uint32_t document,
                           uint64_t shard_tokens);
// The same with the token `id_at(p)` below `vocabulary` at position p.
void write_corpus(const TempDir& dir, uint32_t tokens, uint32_t document, uint64_t shard_tokens,
                  uint32_t vocabulary, const std::function<uint32_t(uint32_t)>& id_at);

}  // namespace katman::testing
