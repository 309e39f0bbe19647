// Text from a trained model, token by token, many texts at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/model/reader.h"
#include "core/model/sampling.h"

namespace katman {

// A text to be continued.
struct Prompt {
  std::vector<int32_t> ids;  // at least one, at most the model's positions
  Sampling sampling = {};
  int64_t most = 100;        // new tokens
  int64_t alternatives = 0;  // how many of the likeliest tokens to report at each position
};

// One new token. Probabilities are the model's own: before penalty, temperature, top-k and top-p.
struct Drawn {
  int32_t id = 0;
  double log_probability = 0;
  std::vector<std::pair<int32_t, float>> alternatives = {};  // the likeliest first
};

enum class Ending {
  length,   // as many tokens as were asked for
  end,      // the end token was drawn; it is not passed on
  stopped,  // on_token said so
};

struct Listener {
  // Each new token of prompts[text] as soon as it is known; false: enough.
  std::function<bool(size_t text, const Drawn& drawn)> on_token;
  std::function<void(size_t text, Ending ending)> on_end = [](size_t, Ending) {};
};

// Continues all prompts, up to `together` of them in one batch; when one ends, the next takes its
// place. What becomes of a prompt does not depend on its company, but for rounding. When a text has
// used up the positions, its second half is read again and becomes its past. end < 0: no token ends
// a text. Every rank of the model calls this alike and hears the same.
void generate(Reader& reader, std::span<const Prompt> prompts, int32_t end, int64_t together,
              const Listener& listener);

}  // namespace katman
