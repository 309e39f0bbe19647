// config.json of Hugging Face `transformers`, both ways.
#pragma once

#include <filesystem>
#include <string>

#include "core/model/config.h"

namespace katman {

// The text of config.json. Throws UsageError for a model without an equivalent.
std::string hf_config_json(const GptConfig& config, int64_t end_of_document);

// Which class of transformers loads it: "GPT2LMHeadModel".
std::string hf_class(const GptConfig& config);

// Throws UsageError for a model that is not one of ours, naming what differs.
GptConfig read_hf_config(const std::filesystem::path& file);

}  // namespace katman
