// Models as Hugging Face `transformers` keeps them: config.json, model.safetensors (or shards of it
// with an index), tokenizer.json. GPT-1, GPT-2 and Llama; see hf_tensors.h for what is where. Only
// rows and names change places, so that a round trip gives the same bits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "parallel/checkpoint/checkpoint.h"

namespace katman {

// Writes the checkpoint's weights (fp32 masters) into `out`, which must not exist: it appears when
// it is complete. One tensor is in memory at a time. Files grow to `shard_bytes` of tensors at
// most, or one tensor. Returns the class of transformers that loads it. Throws UsageError for a
// model that transformers has no class for.
std::string export_hf(const std::filesystem::path& checkpoint, const std::filesystem::path& out,
                      int64_t end_of_document, int64_t shard_bytes = 5'000'000'000);

// Reads such a directory (safetensors in F32, F16 or BF16, never pickles) into a new run directory
// as the checkpoint of step 0, weights only: what katman generate and katman train start from.
// Throws UsageError for other models, and for an existing run.
void import_hf(const std::filesystem::path& directory, const std::filesystem::path& run,
               const std::string& tokenizer_fingerprint);

}  // namespace katman
