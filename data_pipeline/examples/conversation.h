// Conversations as a model that was fine-tuned on them reads them.
#pragma once

#include <cstdint>
#include <vector>

#include "data_pipeline/examples/record.h"

namespace katman {

// The ids in front of the assistant's next answer, the same as in training: everything said so far,
// and the mark that begins an answer. Throws UsageError for a tokenizer without the marks of a
// chat, and for a role that there is not.
std::vector<int32_t> conversation_ids(const Tokenizer& tokenizer,
                                      const std::vector<Message>& messages);

}  // namespace katman
