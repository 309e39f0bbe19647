// What a model thinks of given continuations: many at a time, what they share computed once.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/model/reader.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "orchestrator/eval/prefixes.h"

namespace katman {

// A continuation behind its context; at least one token each.
struct Pair {
  std::vector<int32_t> context, continuation;
};

struct Likelihood {
  double sum = 0;      // of the log-probabilities of the continuation's tokens
  bool greedy = true;  // each of them is the model's first choice
};

// Text as the model reads it, split as lm-evaluation-harness does: white space at the end of the
// context belongs to the continuation, and the continuation is what the ids of both together have
// beyond those of the context. An empty context is the token that begins a document.
class Encoding {
 public:
  explicit Encoding(const Tokenizer& tokenizer)
      : encoder_(tokenizer), prefix_(static_cast<int32_t>(tokenizer.end_of_document())) {}

  std::vector<int32_t> ids(std::string_view text);
  Pair pair(std::string context, std::string continuation);
  // A whole text as pairs of at most `positions` tokens each, every token predicted once, from as
  // much as fits before it in its window: what a perplexity is made of.
  std::vector<Pair> windows(std::string_view text, int64_t positions);

 private:
  Encoder encoder_;
  int32_t prefix_;
};

// Pairs in the order in which they are asked; neighbours that begin alike have their beginning read
// once (orchestrator/eval/prefixes.h). Pairs longer than the positions lose tokens at the
// left, as many as it takes; truncated() counts them.
class Scorer {
 public:
  explicit Scorer(Reader& reader) : reader_(reader) {}

  // on_done is told how many pairs are done so far.
  std::vector<Likelihood> likelihoods(std::span<const Pair> pairs,
                                      const std::function<void(int64_t)>& on_done);
  int64_t truncated() const { return truncated_; }

 private:
  Input input_of(const Pair& pair, size_t index);

  Reader& reader_;
  int64_t truncated_ = 0;
};

}  // namespace katman
