#include "orchestrator/control/recipe.h"

#include <algorithm>

#include "core/model/presets.h"
#include "parallel/batch.h"

namespace katman {
namespace {

// A batch that the run file chooses does not grow by itself.
void apply_batch(DataSpec& data, const Recipe& recipe) {
  if (data.batch_tokens() != 0 || recipe.batch_tokens == 0) return;
  data.set_batch_tokens(static_cast<uint32_t>(recipe.batch_tokens));
  if (recipe.ramp_tokens == 0 || data.has_batch_ramp_tokens()) return;
  data.set_batch_ramp_tokens(static_cast<uint64_t>(recipe.ramp_tokens));
  data.set_batch_start_tokens(static_cast<uint32_t>(recipe.ramp_from_tokens));
}

void apply_adam(OptimizerSpec& spec, const AdamConfig& adam) {
  if (spec.beta1() == 0) spec.set_beta1(adam.beta1);
  if (spec.beta2() == 0) spec.set_beta2(adam.beta2);
  if (spec.epsilon() == 0) spec.set_epsilon(adam.epsilon);
  if (!spec.has_weight_decay()) spec.set_weight_decay(adam.weight_decay);
  if (!spec.has_clip_norm()) spec.set_clip_norm(adam.clip_norm);
}

int64_t warmup_steps(const Recipe& recipe, const DataSpec& data, int64_t sequence) {
  if (recipe.warmup_tokens == 0) return recipe.warmup_steps;
  const BatchInSequences batch = batch_in_sequences(data, sequence);
  return BatchPlan(batch.full, batch.start, batch.ramp).step_of(recipe.warmup_tokens / sequence);
}

}  // namespace

void apply_recipe(RunSpec& spec, int64_t sequence) {
  const Recipe& recipe = preset_named(spec.model().preset()).recipe;
  apply_batch(*spec.mutable_data(), recipe);
  if (recipe.adam) apply_adam(*spec.mutable_optimizer(), *recipe.adam);
  auto& rate = *spec.mutable_learning_rate();
  if (rate.peak() == 0 && recipe.peak) rate.set_peak(*recipe.peak);
  if (!rate.has_final_fraction() && recipe.final_fraction)
    rate.set_final_fraction(*recipe.final_fraction);
  if (rate.has_warmup_steps() || spec.data().batch_tokens() == 0) return;
  // Of a run much shorter than theirs, a tenth.
  const int64_t published = warmup_steps(recipe, spec.data(), sequence);
  if (published > 0)
    rate.set_warmup_steps(std::min(static_cast<uint64_t>(published), spec.steps() / 10));
}

BatchInSequences batch_in_sequences(const DataSpec& data, int64_t sequence) {
  const auto whole = [&](uint64_t tokens) {
    return (static_cast<int64_t>(tokens) + sequence - 1) / sequence;
  };
  return {whole(data.batch_tokens()), whole(data.batch_start_tokens()),
          whole(data.batch_ramp_tokens())};
}

}  // namespace katman
