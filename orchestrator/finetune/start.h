// Where a fine-tuning run comes from: a checkpoint gives it its shape, its tokenizer, its weights.
#pragma once

#include <filesystem>
#include <span>

#include "data_pipeline/examples/task.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/trainer.h"
#include "proto/run.pb.h"

namespace katman {

FinetuneTask task_of(const RunSpec& spec);

// The checkpoint that says what a fine-tuning run's model is: the newest of the run itself, so that
// it can go on when the one it came from is gone, and before there is one that of finetune.from.
// Throws UsageError when there is neither.
std::filesystem::path starting_checkpoint(const RunSpec& spec);
// Its tokenizer with the task's marks.
Tokenizer starting_tokenizer(const RunSpec& spec);
// Its shape; the marks may ask for a larger vocabulary.
GptConfig starting_model(const RunSpec& spec);

// Fills the master pieces of a new run from the weights in `checkpoint`. What it does not have
// stays as it was made: rows of a vocabulary behind its own, and what fine-tuning adds (a task's
// head, adapters).
void load_weights(const std::filesystem::path& checkpoint, std::span<const Piece> pieces,
                  Backend& backend);

// Collective. Gives the frozen weights of a run their values: from base/ in the run's directory, or
// at the first start from finetune.from, and then they are saved there. Nothing is frozen: nothing
// happens.
void settle_frozen(const RunSpec& spec, Trainer& trainer, Backend& backend, Comm& world);

}  // namespace katman
