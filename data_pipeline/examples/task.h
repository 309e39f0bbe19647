// What a model is fine-tuned to do, and the tokens that give its inputs their shape.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/tokenize/tokenizer.h"

namespace katman {

// The last four are the tasks of Radford et al., 2018 (section 3.3).
enum class Task {
  completion,       // go on with a prompt
  chat,             // answer in a conversation
  classification,   // name the class of a text
  entailment,       // name how a premise and a hypothesis are related
  similarity,       // name how two texts are related, whichever comes first
  multiple_choice,  // choose one of several continuations
};
const char* name_of(Task task);
// Whether a head tells classes or choices apart; otherwise the model speaks.
bool has_head(Task task);

// The special tokens that a task puts between texts: chat has <|system|>, <|user|>, <|assistant|>
// and <|end|>, tasks with a head have <|start|>, <|delimiter|> and <|extract|>.
std::vector<std::string> marks_of(Task task);
// The tokenizer with the task's marks behind its vocabulary, each once. What the ids of a text are
// does not change.
Tokenizer with_marks(const Tokenizer& tokenizer, Task task);

// How a model that was fine-tuned on conversations is asked: the ids in front of its answer, and
// the one that ends it. Throws UsageError for a tokenizer without the marks.
struct Question {
  std::vector<int32_t> ids;
  int32_t end;
};
Question ask(const Tokenizer& tokenizer, std::string_view question);

}  // namespace katman
