// Weights in the safetensors of Hugging Face `transformers`, whole or in shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/backend.h"
#include "core/model/config.h"
#include "parallel/checkpoint/files.h"
#include "parallel/checkpoint/piece.h"

namespace katman {

// model.safetensors, or model-00001-of-0000N.safetensors with model.safetensors.index.json when the
// tensors take more than `shard_bytes`.
void write_hf_weights(const std::filesystem::path& checkpoint, const GptConfig& config,
                      const Files& files, const std::filesystem::path& directory,
                      int64_t shard_bytes);

// Every parameter of the model, whole, from either. Throws when one is missing, has another shape
// or type, or when there are only pickles.
std::vector<Piece> read_hf_weights(const std::filesystem::path& directory, const GptConfig& config,
                                   Backend& backend);

}  // namespace katman
