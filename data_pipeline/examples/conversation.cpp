#include "data_pipeline/examples/conversation.h"

#include "core/error.h"

namespace katman {

std::vector<int32_t> conversation_ids(const Tokenizer& tokenizer,
                                      const std::vector<Message>& messages) {
  for (const std::string& name : marks_of(FinetuneTask::chat))
    require_usage(tokenizer.special(name).has_value(),
                  "this model's tokenizer has no {}: it was not fine-tuned on conversations", name);
  std::vector<Segment> segments = conversation(messages);
  segments.push_back({.text = "<|assistant|>", .mark = true});
  std::vector<uint32_t> ids;
  Encoder encoder(tokenizer);
  for (const Segment& segment : segments)
    if (segment.mark)
      ids.push_back(tokenizer.special(segment.text).value());
    else
      encoder.encode(segment.text, ids);
  return {ids.begin(), ids.end()};
}

}  // namespace katman
