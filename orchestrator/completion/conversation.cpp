#include "orchestrator/completion/conversation.h"

#include "core/error.h"

namespace katman {

Conversation::Conversation(const Tokenizer& tokenizer, const std::string& system, int64_t most)
    : tokenizer_(tokenizer), most_(most) {
  if (!system.empty()) messages_.push_back({"system", system});
  kept_ = messages_.size();
  conversation_ids(tokenizer, messages_);
}

std::vector<int32_t> Conversation::ask(const std::string& question) {
  const auto kept = messages_.begin() + static_cast<int64_t>(kept_);
  std::vector<Message> alone(messages_.begin(), kept);
  alone.push_back({"user", question});
  const auto least = std::ssize(conversation_ids(tokenizer_, alone));
  require_usage(least <= most_,
                "the question has {} tokens with what goes around it, and there is room for {} "
                "beside the answer: shorten it, or ask for fewer --tokens",
                least, most_);
  messages_.push_back({"user", question});
  for (;; ++forgotten_) {
    std::vector<int32_t> ids = conversation_ids(tokenizer_, messages_);
    if (std::ssize(ids) <= most_) return ids;
    const auto oldest = messages_.begin() + static_cast<int64_t>(kept_);
    messages_.erase(oldest, oldest + 2);
  }
}

void Conversation::answered(const std::string& answer) {
  messages_.push_back({"assistant", answer});
}

}  // namespace katman
