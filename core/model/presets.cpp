#include "core/model/presets.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace katman {
namespace {

constexpr int64_t million = 1'000'000, billion = 1000 * million;

// Shrinks a model to one that trains in seconds.
GptConfig shrunk(GptConfig c, int64_t layers, int64_t hidden, int64_t heads, int64_t sequence,
                 int64_t vocabulary) {
  c.layers = layers;
  c.hidden = hidden;
  c.heads = heads;
  c.sequence = sequence;
  c.vocabulary = vocabulary;
  return c;
}

// Radford et al., 2018: section 4.1; the positions' and the residual branches' first values are as
// in the published code. The vocabulary is 40,000 merges over 478 characters.
Preset gpt1() {
  GptConfig c;
  c.sequence = 512;
  c.vocabulary = 40478;
  c.dropout = 0.1f;
  c.norm_place = NormPlace::after;
  c.scaled_init = false;
  c.position_deviation = 0.02f;
  Recipe recipe{.peak = 2.5e-4f, .final_fraction = 0.0f, .warmup_steps = 2000};
  recipe.batch_tokens = int64_t{64} * 512;
  recipe.adam = {.beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f, .weight_decay = 0.01f};
  return {"gpt1-117m", c, recipe};
}

// Radford et al., 2019, table 2 and section 2.3; learning rates were not published.
Preset gpt2(const std::string& size, int64_t layers, int64_t hidden, int64_t heads) {
  GptConfig c;
  c.layers = layers;
  c.hidden = hidden;
  c.heads = heads;
  Recipe recipe;
  recipe.batch_tokens = int64_t{512} * 1024;
  return {"gpt2-" + size, c, recipe};
}

// Brown et al., 2020: table 2.1, section 2.1 (every second layer is locally banded, as in Child et
// al., 2019; the width of the band was not published) and appendix B. Two rows of the table do not
// multiply out (24 heads of 128 in 2048, 40 of 128 in 5140); the heads and the width that do are
// taken. Over how many tokens the batch grows is given as 4 to 12 billion, depending on the size.
Preset gpt3(const std::string& size, int64_t layers, int64_t hidden, int64_t heads, float peak,
            int64_t batch_sequences, int64_t ramp_tokens) {
  GptConfig c;
  c.layers = layers;
  c.hidden = hidden;
  c.heads = heads;
  c.sequence = 2048;
  c.window = 256;
  Recipe recipe{.peak = peak, .final_fraction = 0.1f, .warmup_tokens = 375 * million};
  recipe.batch_tokens = batch_sequences * 2048;
  recipe.ramp_from_tokens = int64_t{16} * 2048;
  recipe.ramp_tokens = ramp_tokens;
  recipe.adam = {.beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-8f, .weight_decay = 0.1f};
  return {"gpt3-" + size, c, recipe};
}

GptConfig llama(int64_t layers, int64_t hidden, int64_t heads, int64_t groups, int64_t feed_forward,
                int64_t vocabulary, int64_t sequence) {
  GptConfig c;
  c.layers = layers;
  c.hidden = hidden;
  c.heads = heads;
  c.kv_groups = groups;
  c.feed_forward = feed_forward;
  c.vocabulary = vocabulary;
  c.sequence = sequence;
  c.norm = NormKind::rms;
  c.activation = Activation::swiglu;
  c.positions = Positions::rotary;
  c.biases = false;
  c.tied_embedding = false;
  return c;
}

Recipe llama_recipe(float peak, float final_fraction, int64_t warmup_steps, int64_t batch_tokens) {
  Recipe recipe{.peak = peak, .final_fraction = final_fraction, .warmup_steps = warmup_steps};
  recipe.batch_tokens = batch_tokens;
  recipe.adam = {.beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-5f, .weight_decay = 0.1f};
  return recipe;
}

std::vector<Preset> llamas() {
  // Touvron et al., 2023 (Llama 2), section 2.2; Zhang et al., 2024 (TinyLlama); Grattafiori et
  // al., 2024 (Llama 3), table 3 and section 3.4. The Llama 3.2 sizes were pre-trained on 8,192
  // positions and stretched to 131,072 by their rotary scaling.
  GptConfig llama3 = llama(32, 4096, 32, 8, 14336, 128256, 8192);
  llama3.rotary.theta = 500000;
  GptConfig llama32 = llama(16, 2048, 32, 8, 8192, 128256, 8192);
  llama32.rotary = {.theta = 500000, .factor = 32};
  llama32.tied_embedding = true;
  return {
      {"llama-160m", llama(12, 768, 12, 0, 3072, 32000, 2048), {}},
      {"llama-1.1b", llama(22, 2048, 32, 4, 5632, 32000, 2048),
       llama_recipe(4e-4f, 0.1f, 2000, 1 << 21)},
      {"llama2-7b", llama(32, 4096, 32, 0, 11008, 32000, 4096),
       llama_recipe(3e-4f, 0.1f, 2000, 1 << 22)},
      {"llama3-8b", llama3, llama_recipe(3e-4f, 0.01f, 8000, 1 << 22)},
      {"llama3.2-1b", llama32, {}},
  };
}

std::vector<Preset> make_presets() {
  std::vector<Preset> all = {
      gpt1(),
      gpt2("124m", 12, 768, 12),
      gpt2("355m", 24, 1024, 16),
      gpt2("774m", 36, 1280, 20),
      gpt2("1.5b", 48, 1600, 25),
      gpt3("125m", 12, 768, 12, 6e-4f, 256, 4 * billion),
      gpt3("350m", 24, 1024, 16, 3e-4f, 256, 4 * billion),
      gpt3("760m", 24, 1536, 16, 2.5e-4f, 256, 4 * billion),
      gpt3("1.3b", 24, 2048, 16, 2e-4f, 512, 6 * billion),
      gpt3("2.7b", 32, 2560, 32, 1.6e-4f, 512, 6 * billion),
      gpt3("6.7b", 32, 4096, 32, 1.2e-4f, 1024, 8 * billion),
      gpt3("13b", 40, 5120, 40, 1e-4f, 1024, 8 * billion),
      gpt3("175b", 96, 12288, 96, 0.6e-4f, 1536, 12 * billion),
  };
  for (Preset& preset : llamas()) all.push_back(std::move(preset));
  const auto tiny = [&](const std::string& name, const std::string& of) {
    const auto big = std::ranges::find(all, of, &Preset::name);
    GptConfig c = shrunk(big->model, 2, 64, 4, 64, 256);
    c.feed_forward = 0;
    if (c.kv_groups) c.kv_groups = 2;
    if (c.window) c.window = 16;
    all.push_back({name, c, {}});
  };
  all.push_back({"small", shrunk({}, 6, 256, 4, 256, 8192), {}});
  tiny("tiny", "gpt2-124m");
  tiny("gpt1-tiny", "gpt1-117m");
  tiny("gpt3-tiny", "gpt3-125m");
  tiny("llama-tiny", "llama3-8b");
  return all;
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = make_presets();
  return all;
}

}  // namespace

const Preset& preset_named(const std::string& name) {
  const auto found = std::ranges::find(presets(), name, &Preset::name);
  if (found != presets().end()) return *found;
  throw UsageError(fmt::format("there is no model preset '{}'; choose one of: {}", name,
                               fmt::join(gpt_preset_names(), ", ")));
}

GptConfig gpt_preset(const std::string& name) { return preset_named(name).model; }

std::vector<std::string> gpt_preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.push_back(preset.name);
  return names;
}

}  // namespace katman
