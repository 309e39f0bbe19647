#include "data_pipeline/examples/record.h"

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace katman {
namespace {

using nlohmann::json;

const json& field(const json& object, const char* name) {
  const auto found = object.find(name);
  require(found != object.end(), "there is no field \"{}\"", name);
  return *found;
}

std::string text_of(const json& value, const char* name) {
  require(value.is_string(), "\"{}\" is not a string", name);
  return value.get<std::string>();
}
std::string text_field(const json& object, const char* name) {
  return text_of(field(object, name), name);
}

// "yes", 1 and true are names of classes alike.
std::string label_field(const json& object) {
  const json& value = field(object, "label");
  require(value.is_string() || value.is_number_integer() || value.is_boolean(),
          "\"label\" is neither a string nor a whole number nor a boolean");
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Segment text(std::string words, bool counted = false) { return {std::move(words), false, counted}; }
Segment mark(std::string name, bool counted = false) { return {std::move(name), true, counted}; }

Record completion(const json& object, const std::string& end_of_document) {
  const std::string prompt = text_field(object, "prompt"), rest = text_field(object, "completion");
  Segment first = prompt.empty() ? mark(end_of_document) : text(prompt);
  return {{{std::move(first), text(rest, true), mark(end_of_document, true)}}, {}, -1};
}

Record chat(const json& object) {
  std::vector<Message> messages;
  if (object.contains("messages")) {
    const json& list = object["messages"];
    require(list.is_array(), "\"messages\" is not a list");
    for (const json& message : list) {
      require(message.is_object(), "a message is not an object");
      messages.push_back({text_field(message, "role"), text_field(message, "content")});
    }
  } else {
    messages = {{"user", text_field(object, "prompt")},
                {"assistant", text_field(object, "completion")}};
  }
  std::vector<Segment> sequence = conversation(messages);
  require(std::ranges::any_of(sequence, &Segment::counted),
          "there is no answer of the assistant to learn from");
  return {{std::move(sequence)}, {}, -1};
}

// <|start|> and <|extract|> around texts, all of it counted but the start.
std::vector<Segment> framed(const std::vector<std::string>& texts, const std::string& last) {
  std::vector<Segment> sequence = {mark("<|start|>")};
  for (const std::string& words : texts) sequence.push_back(text(words, true));
  if (!last.empty()) {
    sequence.push_back(mark("<|delimiter|>", true));
    sequence.push_back(text(last, true));
  }
  sequence.push_back(mark("<|extract|>", true));
  return sequence;
}

Record pair(const std::string& a, const std::string& b, bool both_orders, std::string label) {
  Record record{{framed({a}, b)}, std::move(label), -1};
  if (both_orders) record.sequences.push_back(framed({b}, a));
  return record;
}

int32_t right_choice(const json& object, const std::vector<std::string>& choices) {
  const json& label = field(object, "label");
  if (label.is_number_integer()) {
    const auto index = label.get<int64_t>();
    require(index >= 0 && index < static_cast<int64_t>(choices.size()),
            "\"label\" is {}, but the {} choices are 0 to {}", index, choices.size(),
            choices.size() - 1);
    return static_cast<int32_t>(index);
  }
  const auto found = std::ranges::find(choices, text_of(label, "label"));
  require(found != choices.end(), "\"label\" is none of the choices");
  return static_cast<int32_t>(found - choices.begin());
}

Record multiple_choice(const json& object) {
  std::vector<std::string> before = {text_field(object, "context")}, choices;
  if (object.contains("question")) before.push_back(text_field(object, "question"));
  const json& list = field(object, "choices");
  require(list.is_array() && list.size() >= 2, "\"choices\" is not a list of two or more");
  for (const json& choice : list) choices.push_back(text_of(choice, "choices"));
  Record record;
  for (const std::string& choice : choices) record.sequences.push_back(framed(before, choice));
  record.choice = right_choice(object, choices);
  return record;
}

}  // namespace

std::vector<Segment> conversation(const std::vector<Message>& messages) {
  std::vector<Segment> sequence;
  for (const auto& [role, content] : messages) {
    require_usage(role == "system" || role == "user" || role == "assistant",
                  "the role \"{}\" is none of system, user and assistant", role);
    const bool answer = role == "assistant";
    sequence.push_back(mark("<|" + role + "|>"));
    sequence.push_back(text(content, answer));
    sequence.push_back(mark("<|end|>", answer));
  }
  return sequence;
}

Record parse_record(std::string_view line, FinetuneTask task, const std::string& end_of_document) {
  const json object = json::parse(line, nullptr, false);
  require(object.is_object(), "this is not a JSON object");
  switch (task) {
    case FinetuneTask::completion:
      return completion(object, end_of_document);
    case FinetuneTask::chat:
      return chat(object);
    case FinetuneTask::classification:
      return {{framed({text_field(object, "text")}, {})}, label_field(object), -1};
    case FinetuneTask::entailment: {
      const auto premise = text_field(object, "premise");  // asked for first, and missed first
      return pair(premise, text_field(object, "hypothesis"), false, label_field(object));
    }
    case FinetuneTask::similarity: {
      const auto first = text_field(object, "first");
      return pair(first, text_field(object, "second"), true, label_field(object));
    }
    case FinetuneTask::multiple_choice:
      return multiple_choice(object);
  }
  return {};
}

}  // namespace katman
