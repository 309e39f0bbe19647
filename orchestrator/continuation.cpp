#include "orchestrator/continuation.h"

#include "core/error.h"

namespace katman {
namespace {

// Shapes alone do not tell models apart: other heads read the same weights differently, and fewer
// layers or a tied embedding would leave some of them behind without a word.
void check_same_model(const GptConfig& saved, const GptConfig& wanted, const std::string& run) {
  const auto same = [&](const char* field, auto before, auto now) {
    require_usage(before == now,
                  "the checkpoints in {} have model.{} = {}, this run has {}: a model keeps its "
                  "shape; name another directory for another model",
                  run, field, before, now);
  };
  same("layers", saved.layers, wanted.layers);
  same("hidden", saved.hidden, wanted.hidden);
  same("heads", saved.heads, wanted.heads);
  same("sequence", saved.sequence, wanted.sequence);
  same("vocabulary", saved.vocabulary, wanted.vocabulary);
  same("feed_forward", saved.ff(), wanted.ff());
  same("tied_embedding", saved.tied_embedding, wanted.tied_embedding);
  same("groups", saved.groups(), wanted.groups());
  same("norm_epsilon", saved.norm_epsilon, wanted.norm_epsilon);
  const auto same_kind = [&](const char* field, auto before, auto now) {
    same(field, static_cast<int>(before), static_cast<int>(now));
  };
  same_kind("norm", saved.norm, wanted.norm);
  same_kind("norm_place", saved.norm_place, wanted.norm_place);
  same_kind("activation", saved.activation, wanted.activation);
  same_kind("positions", saved.positions, wanted.positions);
  if (wanted.positions == Positions::rotary) {
    same("rotary.theta", saved.rotary.theta, wanted.rotary.theta);
    same("rotary.factor", saved.rotary.factor, wanted.rotary.factor);
    same("rotary.low", saved.rotary.low, wanted.rotary.low);
    same("rotary.high", saved.rotary.high, wanted.rotary.high);
    same("rotary.original", saved.rotary.original, wanted.rotary.original);
  }
  same("biases", saved.biases, wanted.biases);
  same("window", saved.window, wanted.window);
  if (wanted.window) same("window_every", saved.window_every, wanted.window_every);
}

}  // namespace

void check_same_kind(const RunSpec& before, const RunSpec& now) {
  const auto kind = [](const RunSpec& run) {
    return run.has_finetune() ? "fine-tuning" : "pre-training";
  };
  require_usage(before.has_finetune() == now.has_finetune(),
                "the checkpoints in {} are of {}, this run is {}: name another directory for it",
                now.directory(), kind(before), kind(now));
}

void check_continues(const CheckpointInfo& saved, const RunSpec& now, const GptConfig& model,
                     const RunData& data) {
  check_same_model(saved.model, model, now.directory());
  const std::string fingerprint = data.tokenizer_fingerprint();
  require_usage(saved.tokenizer_fingerprint == fingerprint,
                "{} was trained with the tokenizer {}, but {} was made with {}: name its own "
                "corpus, or another run directory",
                now.directory(), saved.tokenizer_fingerprint, data.source(), fingerprint);
}

}  // namespace katman
