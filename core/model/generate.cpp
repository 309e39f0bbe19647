#include "core/model/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace katman {
namespace {

// The tokens to draw from, from the most to the least likely (the lower id first among equals), as
// many as top_k leaves. In order of ids when nothing depends on their order.
std::vector<int32_t> candidates(std::span<const float> logits, const Sampling& sampling) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  if (sampling.top_k == 0 && sampling.top_p == 1) return ids;
  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  if (sampling.top_k > 0 && static_cast<size_t>(sampling.top_k) < ids.size()) {
    std::ranges::nth_element(ids, ids.begin() + sampling.top_k, likelier);
    ids.resize(static_cast<size_t>(sampling.top_k));
  }
  std::ranges::sort(ids, likelier);
  return ids;
}

}  // namespace

void Sampling::check() const {
  require_usage(temperature >= 0 && std::isfinite(temperature),
                "temperature = {} must be 0 or more", temperature);
  require_usage(top_k >= 0, "top_k = {} must be 0 (all tokens) or more", top_k);
  require_usage(top_p > 0 && top_p <= 1, "top_p = {} must be in (0, 1]", top_p);
}

int32_t sample(std::span<const float> logits, const Sampling& sampling, uint64_t index) {
  const auto likeliest = std::ranges::max_element(logits);
  require(likeliest != logits.end() &&
              std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); }),
          "the model's logits are not finite numbers: the checkpoint is damaged or diverged");
  if (sampling.temperature == 0) return static_cast<int32_t>(likeliest - logits.begin());

  const std::vector<int32_t> ids = candidates(logits, sampling);
  std::vector<double> mass(ids.size());  // running sums of probabilities, not normalised
  double total = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const double logit = logits[static_cast<size_t>(ids[i])];
    total += std::exp((logit - *likeliest) / sampling.temperature);
    mass[i] = total;
  }
  const auto last = std::ranges::lower_bound(mass, sampling.top_p * total);
  const double kept = last == mass.end() ? total : *last;
  const double at = random_uniform(Key(sampling.seed).at("generate"), index) * kept;
  const auto drawn = std::ranges::upper_bound(mass, at) - mass.begin();
  return ids[std::min(static_cast<size_t>(drawn), ids.size() - 1)];
}

Generator::Generator(const GptConfig& config, GptStage& stage, Backend& backend)
    : config_(config),
      stage_(stage),
      backend_(backend),
      caches_(stage.make_caches(1, config.sequence)) {}

std::vector<float> Generator::read(std::span<const int32_t> tokens) {
  require(!tokens.empty(), "a model needs at least one token to continue");
  text_.insert(text_.end(), tokens.begin(), tokens.end());
  auto unread = static_cast<int64_t>(tokens.size());
  if (past_ + unread > config_.sequence) {
    past_ = 0;
    unread = std::max<int64_t>(1, config_.sequence / 2);
  }
  Micro micro;
  micro.sequences = 1;
  micro.length = unread;
  micro.training = false;
  micro.past = past_;
  micro.caches = &caches_;
  Tape tape(micro, false);
  const Tensor ids = backend_.empty({unread}, DType::i32);
  backend_.upload(text_.data() + (static_cast<int64_t>(text_.size()) - unread), ids);
  const Tensor h = stage_.forward(ids, tape);
  past_ += unread;
  const Tensor logits = stage_.logits(h.slice(unread - 1, 1));
  std::vector<float> values(static_cast<size_t>(logits.elements()));
  backend_.download(logits, values.data());
  return values;
}

std::vector<int32_t> generate(Generator& generator, std::span<const int32_t> prompt, int64_t most,
                              const Sampling& sampling, int32_t end,
                              const std::function<bool(int32_t)>& on_token) {
  sampling.check();
  std::vector<int32_t> tokens;
  std::vector<int32_t> unread(prompt.begin(), prompt.end());
  while (static_cast<int64_t>(tokens.size()) < most) {
    const int32_t token = sample(generator.read(unread), sampling, tokens.size());
    if (token == end) break;
    tokens.push_back(token);
    if (!on_token(token)) break;
    unread = {token};
  }
  return tokens;
}

}  // namespace katman
