#include "orchestrator/control/finetune_spec.h"

#include <algorithm>
#include <cmath>

#include "orchestrator/control/spec.h"
#include "orchestrator/finetune/start.h"

namespace katman {
namespace {

void complete_lora(LoraSpec& lora) {
  if (lora.rank() == 0) lora.set_rank(8);
  if (!lora.has_alpha()) lora.set_alpha(2 * static_cast<float>(lora.rank()));
  const std::vector<std::string> matrices = {"qkv", "proj", "up", "down"};
  if (lora.on().empty()) lora.mutable_on()->Assign(matrices.begin(), matrices.end());
  for (const std::string& name : lora.on())
    require_usage(std::ranges::find(matrices, name) != matrices.end(),
                  "finetune.lora.on names '{}'; use qkv, proj, up, down", name);
  require_usage(lora.rank() <= 4096, "finetune.lora.rank is {}; use 4096 at most", lora.rank());
  require_usage(lora.alpha() > 0 && std::isfinite(lora.alpha()),
                "finetune.lora.alpha is {}; it must be positive", lora.alpha());
}

void refuse_what_the_checkpoint_decides(const RunSpec& spec) {
  ModelSpec shapeless;
  if (spec.model().has_dropout()) shapeless.set_dropout(spec.model().dropout());
  const auto unwanted = differences(shapeless, spec.model());
  require_usage(unwanted.empty(),
                "the run file sets model: {}; a fine-tuned model has the shape of its checkpoint: "
                "of model, set only dropout",
                unwanted.empty() ? "" : unwanted[0]);
  DataSpec nothing;
  nothing.set_micro_batch(spec.data().micro_batch());
  const auto more = differences(nothing, spec.data());
  require_usage(more.empty(),
                "the run file sets data: {}; fine-tuning reads finetune.train, finetune.batch "
                "examples per step: of data, set only micro_batch",
                more.empty() ? "" : more[0]);
}

void apply_recipe_of_gpt1(RunSpec& spec) {
  FinetuneSpec& finetune = *spec.mutable_finetune();
  if (finetune.batch() == 0) finetune.set_batch(32);
  if (!finetune.has_language_weight()) finetune.set_language_weight(0.5f);
  OptimizerSpec& adam = *spec.mutable_optimizer();
  if (!adam.has_weight_decay()) adam.set_weight_decay(0.01f);
  ScheduleSpec& rate = *spec.mutable_learning_rate();
  if (rate.peak() == 0) rate.set_peak(finetune.has_lora() ? 2e-4f : 6.25e-5f);
}

}  // namespace

void complete_finetune(RunSpec& spec) {
  FinetuneSpec& finetune = *spec.mutable_finetune();
  require_usage(!finetune.from().empty(),
                "finetune.from is missing: name the run or the checkpoint to start from");
  require_usage(finetune.train_size() > 0,
                "finetune.train is missing: name a file of examples, JSON lines");
  require_usage(FinetuneSpec::Task_IsValid(finetune.task()),
                "finetune.task is {}; use COMPLETION, CHAT, CLASSIFICATION, ENTAILMENT, SIMILARITY "
                "or MULTIPLE_CHOICE",
                static_cast<int>(finetune.task()));
  refuse_what_the_checkpoint_decides(spec);
  const bool head = has_head(task_of(spec));
  require_usage(!head || !finetune.pack(),
                "finetune.pack is for completions and chats: the head of {} looks at the end of a "
                "sequence of its own",
                FinetuneSpec::Task_Name(finetune.task()));
  if (!finetune.has_pack()) finetune.set_pack(!head);
  if (finetune.has_lora()) complete_lora(*finetune.mutable_lora());
  apply_recipe_of_gpt1(spec);
  require_usage(finetune.batch() >= spec.mesh().dp(),
                "finetune.batch is {}, fewer examples than mesh.dp = {} replicas", finetune.batch(),
                spec.mesh().dp());
  require_usage(finetune.language_weight() >= 0 && std::isfinite(finetune.language_weight()),
                "finetune.language_weight is {}; it must be 0 or more", finetune.language_weight());
}

}  // namespace katman
