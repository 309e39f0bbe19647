// Text from a trained model, token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/model/gpt.h"

namespace katman {

// How the next token is drawn from the model's distribution.
struct Sampling {
  float temperature = 1;  // logits are divided by it; 0: always the most likely token
  int64_t top_k = 0;      // > 0: only the k most likely tokens (Fan et al., 2018)
  float top_p = 1;  // < 1: only the fewest most likely tokens that together reach it (Holtzman et
                    // al., 2020), after top_k
  uint64_t seed = 0;

  void check() const;  // throws UsageError naming the field
};

// The token drawn for position `index` of a text: a pure function of its arguments. Throws Error
// when the logits are not numbers.
int32_t sample(std::span<const float> logits, const Sampling& sampling, uint64_t index);

// Continues one text with a stage that is the whole model, on every tensor rank alike. Keys and
// values of past tokens are cached; when the positions are used up, the second half of the text is
// read again and becomes the past.
class Generator {
 public:
  // stage and backend outlive this. The stage was built without sequence parallelism.
  Generator(const GptConfig& config, GptStage& stage, Backend& backend);

  // The model's logits [vocabulary] for the token after all tokens given so far and `tokens` (at
  // least one).
  std::vector<float> read(std::span<const int32_t> tokens);

 private:
  GptConfig config_;
  GptStage& stage_;
  Backend& backend_;
  std::vector<KvCache> caches_;  // [layer]
  std::vector<int32_t> text_;    // all tokens given so far
  int64_t past_ = 0;             // how many of its last tokens the caches hold
};

// Calls `on_token` for each new token as soon as it is known, until it returns false, `end` was
// drawn (it is not passed on; < 0: no such token) or there are `most` tokens. Returns them.
std::vector<int32_t> generate(Generator& generator, std::span<const int32_t> prompt, int64_t most,
                              const Sampling& sampling, int32_t end,
                              const std::function<bool(int32_t)>& on_token);

}  // namespace katman
