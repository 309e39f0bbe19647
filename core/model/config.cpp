#include "core/model/config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace katman {
namespace {

// Weights of one layer's four matrix products.
int64_t layer_weights(const GptConfig& c) {
  return 4 * c.hidden * c.hidden + 2 * c.hidden * c.ff();
}

double layer_flops(const GptConfig& c) {
  return 6.0 * static_cast<double>(layer_weights(c)) +
         6.0 * static_cast<double>(c.hidden) * static_cast<double>(c.sequence);
}

double head_flops(const GptConfig& c) {
  return 6.0 * static_cast<double>(c.vocabulary) * static_cast<double>(c.hidden);
}

GptConfig published(int64_t layers, int64_t hidden, int64_t heads) {
  GptConfig config;
  config.layers = layers;
  config.hidden = hidden;
  config.heads = heads;
  return config;
}

GptConfig small(int64_t layers, int64_t hidden, int64_t heads, int64_t sequence,
                int64_t vocabulary) {
  GptConfig config = published(layers, hidden, heads);
  config.sequence = sequence;
  config.vocabulary = vocabulary;
  return config;
}

// [name, shape]
std::vector<std::pair<std::string, GptConfig>> presets() {
  return {
      {"gpt2-124m", published(12, 768, 12)},  {"gpt2-355m", published(24, 1024, 16)},
      {"gpt2-774m", published(36, 1280, 20)}, {"gpt2-1.5b", published(48, 1600, 25)},
      {"small", small(6, 256, 4, 256, 8192)}, {"tiny", small(2, 64, 4, 64, 256)},
  };
}

int64_t nearest_multiple(int64_t value, int64_t of) {
  return std::max<int64_t>(1, (value + of / 2) / of) * of;
}

void check_multiple(const char* field, int64_t value, const char* by, int64_t of) {
  require_usage(value % of == 0,
                "{} = {} is not a multiple of {} = {}; the nearest value that is: {}", field, value,
                by, of, nearest_multiple(value, of));
}

}  // namespace

Init GptConfig::residual_init() const {
  return {Init::Kind::normal, 0.02f / std::sqrt(2.0f * static_cast<float>(layers))};
}

int64_t GptConfig::parameters() const {
  const int64_t biases_and_norms = (3 + 1 + 1 + 4) * hidden + ff();
  return vocabulary * hidden * (tied_embedding ? 1 : 2) + sequence * hidden +
         layers * (layer_weights(*this) + biases_and_norms) + 2 * hidden;
}

double GptConfig::flops_per_token() const {
  return static_cast<double>(layers) * layer_flops(*this) + head_flops(*this);
}

void GptConfig::check(int tp, int pp) const {
  const auto at_least = [](const char* field, int64_t value, int64_t least) {
    require_usage(value >= least, "{} = {} must be at least {}", field, value, least);
  };
  at_least("mesh.tp", tp, 1);
  at_least("mesh.pp", pp, 1);
  at_least("model.layers", layers, 1);
  at_least("model.hidden", hidden, 1);
  at_least("model.heads", heads, 1);
  at_least("model.sequence", sequence, 1);
  at_least("model.feed_forward", ff(), 1);
  at_least("model.vocabulary", vocabulary, std::max(2, tp));
  require_usage(dropout >= 0 && dropout < 1, "model.dropout = {} must be in [0, 1)", dropout);
  check_multiple("model.hidden", hidden, "model.heads", heads);
  check_multiple("model.heads", heads, "mesh.tp", tp);
  check_multiple("model.feed_forward", ff(), "mesh.tp", tp);
  require_usage(layers >= pp, "model.layers = {} cannot fill {} pipeline stages; use at most {}",
                layers, pp, layers);
}

GptConfig gpt_preset(const std::string& name) {
  for (const auto& [known, config] : presets())
    if (known == name) return config;
  throw UsageError(fmt::format("there is no model preset '{}'; choose one of: {}", name,
                               fmt::join(gpt_preset_names(), ", ")));
}

std::vector<std::string> gpt_preset_names() {
  std::vector<std::string> names;
  for (const auto& preset : presets()) names.push_back(preset.first);
  return names;
}

std::vector<StageRange> split_layers(const GptConfig& config, int stages) {
  require_usage(stages >= 1 && stages <= config.layers,
                "model.layers = {} cannot fill {} pipeline stages; use at most {}", config.layers,
                stages, config.layers);
  const double head_layers = head_flops(config) / layer_flops(config);
  const int64_t others = stages - 1;  // all but the last
  int64_t in_last = config.layers;
  double best = INFINITY;
  for (int64_t last = 0; others > 0 && last <= config.layers; ++last) {
    const auto most = static_cast<double>((config.layers - last + others - 1) / others);
    const double slowest = std::max(most, static_cast<double>(last) + head_layers);
    if (slowest <= best) best = slowest, in_last = last;
  }
  std::vector<StageRange> ranges;
  const int64_t before = config.layers - in_last;
  for (int64_t stage = 0; stage < others; ++stage)
    ranges.push_back({before * stage / others, before * (stage + 1) / others, stage == 0, false});
  ranges.push_back({before, config.layers, others == 0, true});
  return ranges;
}

}  // namespace katman
