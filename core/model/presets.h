// Published models by name: their shapes, and how they were trained as far as their authors say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/adam.h"
#include "core/model/config.h"

namespace katman {

// How a model was trained. What is empty was not published.
struct Recipe {
  std::optional<float> peak = {},
                       final_fraction = {};     // of the learning rate, which decays as a cosine
  int64_t warmup_steps = 0, warmup_tokens = 0;  // one of them, or neither
  int64_t batch_tokens = 0;
  // The batch grows linearly from `ramp_from_tokens` over the first `ramp_tokens` tokens.
  int64_t ramp_from_tokens = 0, ramp_tokens = 0;
  std::optional<AdamConfig> adam = {};
};

struct Preset {
  std::string name;
  GptConfig model;
  Recipe recipe;
};

// gpt1-117m; gpt2-124m to gpt2-1.5b; the eight sizes of gpt3-125m to gpt3-175b; Llama models that
// people use; `small` for the quickstart, and a tiny one of every shape for tests. Throws
// UsageError listing the names for an unknown one.
const Preset& preset_named(const std::string& name);
// Its model alone.
GptConfig gpt_preset(const std::string& name);
std::vector<std::string> gpt_preset_names();

}  // namespace katman
