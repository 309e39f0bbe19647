#include "core/model/config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace katman {
namespace {

// Weights of one layer's matrix products.
int64_t layer_weights(const GptConfig& c) {
  return c.hidden * (c.qkv_rows() + c.hidden + c.up_rows() + c.ff());
}

int64_t layer_biases(const GptConfig& c) {
  return c.biases ? c.qkv_rows() + c.hidden + c.up_rows() + c.hidden : 0;
}

// Keys that a query of one layer sees on average: half of them, less what lies behind the band.
double keys_seen(const GptConfig& c, int64_t layer) {
  const auto all = static_cast<double>(c.sequence);
  const auto band = static_cast<double>(c.window_of(layer));
  return band > 0 && band < all ? band - band * band / (2 * all) : all / 2;
}

double head_flops(const GptConfig& c) {
  return 6.0 * static_cast<double>(c.vocabulary) * static_cast<double>(c.hidden);
}

double layers_flops(const GptConfig& c) {
  double flops = 6.0 * static_cast<double>(layer_weights(c)) * static_cast<double>(c.layers);
  for (int64_t layer = 0; layer < c.layers; ++layer)
    flops += 12.0 * static_cast<double>(c.hidden) * keys_seen(c, layer);
  return flops;
}

int64_t nearest_multiple(int64_t value, int64_t of) {
  return std::max<int64_t>(1, (value + of / 2) / of) * of;
}

void check_multiple(const char* field, int64_t value, const char* by, int64_t of) {
  require_usage(value % of == 0,
                "{} = {} is not a multiple of {} = {}; the nearest value that is: {}", field, value,
                by, of, nearest_multiple(value, of));
}

void check_feed_forward(const GptConfig& c, int tp) {
  if (c.activation == Activation::gelu || c.ff() % tp != 0)
    check_multiple("model.feed_forward", c.ff(), "mesh.tp", tp);
  const int64_t blocks = c.ff() / c.gate_block();
  require_usage(c.activation == Activation::gelu || blocks % tp == 0,
                "model.feed_forward = {} is {} blocks of {}, which mesh.tp = {} does not divide; "
                "the nearest value that works: {}",
                c.ff(), blocks, c.gate_block(), tp, nearest_multiple(c.ff(), 16 * tp));
}

void check_rotary(const GptConfig& c) {
  require_usage(c.head_dim() % 2 == 0,
                "rotary positions turn pairs, but a head has model.hidden / model.heads = {} "
                "dimensions; the nearest model.hidden that works: {}",
                c.head_dim(), nearest_multiple(c.hidden, 2 * c.heads));
  const Rotary& r = c.rotary;
  require_usage(r.theta > 1, "model.rotary.theta = {} must be above 1", r.theta);
  require_usage(r.factor >= 1, "model.rotary.factor = {} must be at least 1", r.factor);
  require_usage(r.low > 0 && r.high > r.low && r.original >= 1,
                "model.rotary: 0 < low = {} < high = {} and original = {} of at least 1 are needed",
                r.low, r.high, r.original);
}

}  // namespace

std::vector<float> Rotary::frequencies(int64_t head_dim) const {
  std::vector<float> frequencies;
  for (int64_t c = 0; c < head_dim / 2; ++c) {
    const double exponent = -2.0 * static_cast<double>(c) / static_cast<double>(head_dim);
    const double plain = std::pow(static_cast<double>(theta), exponent);
    double share = 1;  // of the plain frequency, against the slowed-down one
    if (factor != 1) {
      const double turns = static_cast<double>(original) * plain / (2 * std::numbers::pi);
      share = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    }
    frequencies.push_back(static_cast<float>(plain * (share + (1 - share) / factor)));
  }
  return frequencies;
}

int64_t GptConfig::ff() const {
  if (feed_forward) return feed_forward;
  if (activation == Activation::gelu) return 4 * hidden;
  return (8 * hidden / 3 + 63) / 64 * 64;
}

int64_t GptConfig::gate_block() const { return std::gcd(ff(), int64_t{16}); }

int64_t GptConfig::window_of(int64_t layer) const {
  return layer % window_every == window_every - 1 ? window : 0;
}

Init GptConfig::residual_init() const {
  if (!scaled_init) return weight_init();
  return {Init::Kind::normal, 0.02f / std::sqrt(2.0f * static_cast<float>(layers))};
}

int64_t GptConfig::parameters() const {
  const int64_t norms = 2 * layers + (norm_place == NormPlace::before ? 1 : 0);
  const int64_t norm_size = (norm == NormKind::layer ? 2 : 1) * hidden;
  return vocabulary * hidden * (tied_embedding ? 1 : 2) +
         (positions == Positions::learned ? sequence * hidden : 0) +
         layers * (layer_weights(*this) + layer_biases(*this)) + norms * norm_size;
}

double GptConfig::flops_per_token() const { return layers_flops(*this) + head_flops(*this); }

void GptConfig::check(int tp, int pp) const {
  const auto at_least = [](const char* field, int64_t value, int64_t least) {
    require_usage(value >= least, "{} = {} must be at least {}", field, value, least);
  };
  at_least("mesh.tp", tp, 1);
  at_least("mesh.pp", pp, 1);
  at_least("model.layers", layers, 1);
  at_least("model.hidden", hidden, 1);
  at_least("model.heads", heads, 1);
  at_least("model.groups", groups(), 1);
  at_least("model.sequence", sequence, 1);
  at_least("model.feed_forward", ff(), 1);
  at_least("model.vocabulary", vocabulary, std::max(2, tp));
  at_least("model.window", window, 0);
  at_least("model.window_every", window_every, 1);
  require_usage(dropout >= 0 && dropout < 1, "model.dropout = {} must be in [0, 1)", dropout);
  require_usage(norm_epsilon > 0 && norm_epsilon < 1, "model.norm_epsilon = {} must be in (0, 1)",
                norm_epsilon);
  check_multiple("model.hidden", hidden, "model.heads", heads);
  check_multiple("model.heads", heads, "model.groups", groups());
  check_multiple(kv_groups ? "model.groups" : "model.heads", groups(), "mesh.tp", tp);
  check_feed_forward(*this, tp);
  if (positions == Positions::rotary) check_rotary(*this);
  require_usage(layers >= pp, "model.layers = {} cannot fill {} pipeline stages; use at most {}",
                layers, pp, layers);
}

std::vector<StageRange> split_layers(const GptConfig& config, int stages) {
  require_usage(stages >= 1 && stages <= config.layers,
                "model.layers = {} cannot fill {} pipeline stages; use at most {}", config.layers,
                stages, config.layers);
  const double head_layers =
      head_flops(config) * static_cast<double>(config.layers) / layers_flops(config);
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
