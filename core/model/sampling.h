// The next token of a text, drawn from the model's distribution.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/random.h"

namespace katman {

struct Sampling {
  float temperature = 1;  // logits are divided by it; 0: always the most likely token
  int64_t top_k = 0;      // > 0: only the k most likely tokens (Fan et al., 2018)
  float top_p = 1;  // < 1: only the fewest most likely tokens that together reach it (Holtzman et
                    // al., 2020), after top_k
  // > 1: the logit of every token that the text has already is divided by it when positive and
  // multiplied when negative (Keskar et al., 2019), before the temperature.
  float repetition_penalty = 1;
  uint64_t seed = 0;

  void check() const;  // throws UsageError naming the field
};

// The token drawn for position `index` of a text: a pure function of its arguments. logits
// [vocabulary] are penalised in place for the tokens of `seen`. Throws Error when they are not
// numbers.
int32_t sample(std::span<float> logits, const Sampling& sampling, uint64_t index,
               std::span<const int32_t> seen = {});

// log sum exp of the logits: what turns a logit into a log-probability.
double log_total(std::span<const float> logits);

// The `count` most likely tokens with their log-probabilities, the likeliest first.
std::vector<std::pair<int32_t, float>> likeliest(std::span<const float> logits, int64_t count);

}  // namespace katman
