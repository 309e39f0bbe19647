#include "data_pipeline/examples/task.h"

namespace katman {

const char* name_of(FinetuneTask task) {
  switch (task) {
    case FinetuneTask::completion:
      return "completion";
    case FinetuneTask::chat:
      return "chat";
    case FinetuneTask::classification:
      return "classification";
    case FinetuneTask::entailment:
      return "entailment";
    case FinetuneTask::similarity:
      return "similarity";
    case FinetuneTask::multiple_choice:
      return "multiple_choice";
  }
  return "";
}

bool has_head(FinetuneTask task) {
  return task != FinetuneTask::completion && task != FinetuneTask::chat;
}

std::vector<std::string> marks_of(FinetuneTask task) {
  if (task == FinetuneTask::completion) return {};
  if (task == FinetuneTask::chat) return {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"};
  return {"<|start|>", "<|delimiter|>", "<|extract|>"};
}

Tokenizer with_marks(const Tokenizer& tokenizer, FinetuneTask task) {
  TokenizerParts parts = tokenizer.parts();
  uint32_t next = tokenizer.vocabulary();
  for (const std::string& mark : marks_of(task))
    if (!tokenizer.special(mark)) parts.specials.push_back({mark, next++});
  return Tokenizer(std::move(parts));
}

}  // namespace katman
