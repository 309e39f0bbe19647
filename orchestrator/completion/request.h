// A request for a completion as one line of JSON, and the answer as such lines.
//
//   {"prompt": "Once upon a time", "tokens": 50, "temperature": 0.8, "top_k": 40, "top_p": 0.9,
//    "repetition_penalty": 1.1, "seed": 1, "stop": ["\n"], "logprobs": 3, "id": "anything"}
//
// All fields are optional; "ids" (token ids) may stand for "prompt", and so may "messages", for a
// model that was fine-tuned on conversations: [{"role": "user", "content": "..."}, ...]. "logprobs"
// asks for that many alternatives at each token. Lines of an answer say in "event" what they are:
//   {"event": "token", "id": ..., "token": 318, "text": " is", "logprob": -1.5, "top": [[" is",
//   -1.5]]}
//   {"event": "done", "id": ..., "ending": "length", "text": ..., "ids": [...], "logprobs": [...]}
//   {"event": "error", "id": ..., "error": "one sentence"}
// The texts of all "token" lines together are the text of "done": a character that takes several
// tokens comes with its last one, and what might be the beginning of a stop string waits until it
// is none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model/generate.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "orchestrator/completion/text_stream.h"

namespace katman {

struct CompletionRequest {
  nlohmann::ordered_json id;  // given back with every answer
  Prompt prompt;
  std::vector<std::string> stops;
};

// The ids of a text; of an empty one, the token that begins a document.
std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& text);

// Fields that the line leaves open are those of `defaults`. Throws UsageError, beginning with
// `where`, for what is no such request.
CompletionRequest parse_request(const std::string& line, const std::string& where,
                                const CompletionRequest& defaults, const Tokenizer& tokenizer);

// The answer to one request as it comes.
class Answer {
 public:
  Answer(const CompletionRequest& request, const Tokenizer& tokenizer)
      : request_(request), tokenizer_(tokenizer), stream_(request.stops) {}

  // The line for one more token.
  nlohmann::ordered_json token(const Drawn& drawn);
  bool stopped() const { return stream_.stopped(); }
  nlohmann::ordered_json done(Ending ending);

 private:
  const CompletionRequest& request_;
  const Tokenizer& tokenizer_;
  TextStream stream_;
  std::vector<int32_t> ids_;
  std::vector<double> log_probabilities_;
};

nlohmann::ordered_json error_answer(const nlohmann::ordered_json& id, const std::string& sentence);

// As one line. Bytes that are no UTF-8 become U+FFFD: JSON has no other way to hold them.
std::string to_line(const nlohmann::ordered_json& json);

const char* name_of(Ending ending);

}  // namespace katman
