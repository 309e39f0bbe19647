// One line of a fine-tuning file: JSON becomes texts with marks between them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/examples/task.h"

namespace katman {

// A mark or a text of a sequence.
struct Segment {
  std::string text;  // of a mark: its name
  bool mark = false;
  bool counted = false;  // the model is trained to say it
};

// Of a conversation.
struct Message {
  std::string role, content;  // role: system, user or assistant
};
// <|user|>question<|end|><|assistant|>answer<|end|>..., answers with their ends counted. Throws
// Error for another role.
std::vector<Segment> conversation(const std::vector<Message>& messages);

struct Record {
  std::vector<std::vector<Segment>> sequences;  // similarity: both orders; one for every choice
  std::string label;                            // of a task with a head: the class
  int32_t choice = -1;                          // of multiple choice: which sequence is right
};

// The object of one line, by task:
//   completion       {"prompt": "...", "completion": "..."}
//   chat             {"messages": [{"role": "system|user|assistant", "content": "..."}, ...]}, or
//                    a prompt and a completion, which are one question and its answer
//   classification   {"text": "...", "label": "..."}
//   entailment       {"premise": "...", "hypothesis": "...", "label": "..."}
//   similarity       {"first": "...", "second": "...", "label": "..."}
//   multiple_choice  {"context": "...", "question": "...", "choices": ["...", ...], "label": 0};
//                    the question may be missing, the label counts from 0 or is the choice's text
// Labels are strings, whole numbers or booleans. Other fields are left alone.
//
// What becomes of it, $ being a token that ends a document:
//   completion       prompt completion$            ($ first where there is no prompt)
//   chat             <|user|>question<|end|><|assistant|>answer<|end|>...
//   classification   <|start|>text<|extract|>
//   entailment       <|start|>premise<|delimiter|>hypothesis<|extract|>
//   similarity       <|start|>first<|delimiter|>second<|extract|>, and the same the other way round
//   multiple_choice  <|start|>context question<|delimiter|>choice<|extract|> for every choice
// Completions with their end, and answers with theirs, are counted; with a head, every token is.
//
// Throws Error with what is wrong with the line, to go behind its name.
Record parse_record(std::string_view line, FinetuneTask task, const std::string& end_of_document);

}  // namespace katman
