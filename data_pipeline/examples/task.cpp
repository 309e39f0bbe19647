#include "data_pipeline/examples/task.h"

#include "core/error.h"

namespace katman {

const char* name_of(Task task) {
  switch (task) {
    case Task::completion:
      return "completion";
    case Task::chat:
      return "chat";
    case Task::classification:
      return "classification";
    case Task::entailment:
      return "entailment";
    case Task::similarity:
      return "similarity";
    case Task::multiple_choice:
      return "multiple_choice";
  }
  return "";
}

bool has_head(Task task) { return task != Task::completion && task != Task::chat; }

std::vector<std::string> marks_of(Task task) {
  if (task == Task::completion) return {};
  if (task == Task::chat) return {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"};
  return {"<|start|>", "<|delimiter|>", "<|extract|>"};
}

Tokenizer with_marks(const Tokenizer& tokenizer, Task task) {
  TokenizerParts parts = tokenizer.parts();
  uint32_t next = tokenizer.vocabulary();
  for (const std::string& mark : marks_of(task))
    if (!tokenizer.special(mark)) parts.specials.push_back({mark, next++});
  return Tokenizer(std::move(parts));
}

Question ask(const Tokenizer& tokenizer, std::string_view question) {
  const auto mark = [&](const char* name) {
    const auto id = tokenizer.special(name);
    require_usage(id.has_value(),
                  "this model's tokenizer has no {}: it was not fine-tuned on conversations", name);
    return *id;
  };
  std::vector<uint32_t> ids = {mark("<|user|>")};
  Encoder(tokenizer).encode(question, ids);
  ids.push_back(mark("<|end|>"));
  ids.push_back(mark("<|assistant|>"));
  return {{ids.begin(), ids.end()}, static_cast<int32_t>(mark("<|end|>"))};
}

}  // namespace katman
