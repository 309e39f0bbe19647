// GPT-2 as Hugging Face `transformers` keeps it: config.json, model.safetensors, tokenizer.json.
//
// Their Conv1D weights are [in, out], ours [out, in]; the columns of their c_attn are [q, k,
// v][heads] [head_dim], the rows of our qkv [heads][q, k, v][head_dim]. Nothing else differs but
// the names, so that a round trip gives the same bits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "parallel/checkpoint/checkpoint.h"

namespace katman {

// Writes the checkpoint's weights (fp32 masters) as GPT2LMHeadModel into `out`, which must not
// exist: it appears when it is complete. One tensor is in memory at a time.
void export_hf(const std::filesystem::path& checkpoint, const std::filesystem::path& out,
               int64_t end_of_document);

// Reads such a directory (weights in F32, F16 or BF16) into a new run directory as the checkpoint
// of step 0, weights only: what katman generate and katman train start from. Throws UsageError for
// models that are no GPT-2, and for an existing run.
void import_hf(const std::filesystem::path& directory, const std::filesystem::path& run,
               const std::string& tokenizer_fingerprint);

}  // namespace katman
