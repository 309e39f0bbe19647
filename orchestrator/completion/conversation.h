// A conversation with a model as it grows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/examples/conversation.h"

namespace katman {

// What an answer ends with.
inline constexpr const char* end_of_turn = "<|end|>";

// What was said so far. When it no longer fits what the model can read, the oldest question and its
// answer are forgotten; what the system said stays.
class Conversation {
 public:
  // most: ids of a prompt. system: said ahead of everything, unless empty. Throws UsageError for a
  // tokenizer without the marks of a chat.
  Conversation(const Tokenizer& tokenizer, const std::string& system, int64_t most);

  // The ids in front of the answer to one more question. Throws UsageError for a question that does
  // not fit even by itself; it counts as not asked.
  std::vector<int32_t> ask(const std::string& question);
  void answered(const std::string& answer);
  int64_t forgotten() const { return forgotten_; }  // exchanges

 private:
  const Tokenizer& tokenizer_;
  int64_t most_;
  std::vector<Message> messages_;
  size_t kept_ = 0;  // of the first messages: the system's
  int64_t forgotten_ = 0;
};

}  // namespace katman
