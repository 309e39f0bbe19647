// What a model is fine-tuned to do, and the tokens that give its inputs their shape.
#pragma once

#include <string>
#include <vector>

#include "data_pipeline/tokenize/tokenizer.h"

namespace katman {

// The last four are the tasks of Radford et al., 2018 (section 3.3).
enum class FinetuneTask {
  completion,       // go on with a prompt
  chat,             // answer in a conversation
  classification,   // name the class of a text
  entailment,       // name how a premise and a hypothesis are related
  similarity,       // name how two texts are related, whichever comes first
  multiple_choice,  // choose one of several continuations
};
const char* name_of(FinetuneTask task);
// Whether a head tells classes or choices apart; otherwise the model speaks.
bool has_head(FinetuneTask task);

// The special tokens that a task puts between texts: chat has <|system|>, <|user|>, <|assistant|>
// and <|end|>, tasks with a head have <|start|>, <|delimiter|> and <|extract|>.
std::vector<std::string> marks_of(FinetuneTask task);
// The tokenizer with the task's marks behind its vocabulary, each once. What the ids of a text are
// does not change.
Tokenizer with_marks(const Tokenizer& tokenizer, FinetuneTask task);

}  // namespace katman
