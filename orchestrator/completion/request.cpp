#include "orchestrator/completion/request.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "orchestrator/completion/conversation.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<std::string> fields = {"id",          "prompt", "ids",      "tokens",
                                         "temperature", "top_k",  "top_p",    "repetition_penalty",
                                         "seed",        "stop",   "logprobs", "messages"};

template <class T>
void read(const Json& json, const char* field, T& value) {
  const auto found = json.find(field);
  if (found == json.end() || found->is_null()) return;
  try {
    value = found->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw UsageError(fmt::format("\"{}\" is {}, which is not {}", field, found->dump(),
                                 std::is_arithmetic_v<T> ? "a number" : "of its kind"));
  }
}

std::vector<std::string> stops_of(const Json& json, const std::vector<std::string>& otherwise) {
  const auto found = json.find("stop");
  if (found == json.end() || found->is_null()) return otherwise;
  std::vector<std::string> stops;
  if (found->is_string())
    stops.push_back(found->get<std::string>());
  else
    read(json, "stop", stops);
  for (const std::string& stop : stops)
    require_usage(!stop.empty(), "a stop string is empty, which would stop everything");
  return stops;
}

std::vector<Message> messages_of(const Json& list) {
  std::vector<Message> messages;
  require_usage(list.is_array() && !list.empty(), "\"messages\" is not a list of some");
  for (const Json& message : list) {
    require_usage(message.is_object() && message.contains("role") && message.contains("content"),
                  "a message is not an object with \"role\" and \"content\"");
    read(message, "role", messages.emplace_back().role);
    read(message, "content", messages.back().content);
  }
  return messages;
}

CompletionRequest request_of(const Json& json, const CompletionRequest& defaults,
                             const Tokenizer& tokenizer) {
  require_usage(json.is_object(), "it is not a JSON object");
  for (const auto& [name, value] : json.items())
    require_usage(std::ranges::find(fields, name) != fields.end(),
                  "\"{}\" is not a field of a request; there are: {}", name,
                  fmt::join(fields, ", "));
  CompletionRequest request = defaults;
  Prompt& prompt = request.prompt;
  if (json.contains("id")) request.id = json["id"];
  require_usage(json.contains("prompt") + json.contains("ids") + json.contains("messages") <= 1,
                "it has more than one of \"prompt\", \"ids\" and \"messages\"");
  std::string text;
  read(json, "prompt", text);
  if (json.contains("ids"))
    read(json, "ids", prompt.ids);
  else if (json.contains("prompt") || prompt.ids.empty())
    prompt.ids = prompt_ids(tokenizer, text);
  read(json, "tokens", prompt.most);
  read(json, "temperature", prompt.sampling.temperature);
  read(json, "top_k", prompt.sampling.top_k);
  read(json, "top_p", prompt.sampling.top_p);
  read(json, "repetition_penalty", prompt.sampling.repetition_penalty);
  read(json, "seed", prompt.sampling.seed);
  read(json, "logprobs", prompt.alternatives);
  request.stops = stops_of(json, defaults.stops);
  if (json.contains("messages")) {
    prompt.ids = conversation_ids(tokenizer, messages_of(json["messages"]));
    request.stops.emplace_back(end_of_turn);
  }
  prompt.sampling.check();
  return request;
}

}  // namespace

std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<uint32_t> ids;
  Encoder(tokenizer).encode(text, ids);
  if (ids.empty()) ids.push_back(tokenizer.end_of_document());
  return {ids.begin(), ids.end()};
}

CompletionRequest parse_request(const std::string& line, const std::string& where,
                                const CompletionRequest& defaults, const Tokenizer& tokenizer) {
  try {
    return request_of(Json::parse(line), defaults, tokenizer);
  } catch (const nlohmann::json::exception&) {
    throw UsageError(fmt::format("{}: it is not JSON", where));
  } catch (const Error& error) {
    throw UsageError(fmt::format("{}: {}", where, error.what()));
  }
}

Json Answer::token(const Drawn& drawn) {
  ids_.push_back(drawn.id);
  log_probabilities_.push_back(drawn.log_probability);
  Json line = {{"event", "token"},
               {"id", request_.id},
               {"token", drawn.id},
               {"text", stream_.add(tokenizer_.bytes(static_cast<uint32_t>(drawn.id)))},
               {"logprob", drawn.log_probability}};
  for (const auto& [id, log_probability] : drawn.alternatives)
    line["top"].push_back({tokenizer_.bytes(static_cast<uint32_t>(id)), log_probability});
  return line;
}

Json Answer::done(Ending ending) {
  stream_.finish();
  return {{"event", "done"},
          {"id", request_.id},
          {"ending", name_of(ending)},
          {"prompt_tokens", request_.prompt.ids.size()},
          {"text", stream_.text()},
          {"ids", ids_},
          {"logprobs", log_probabilities_}};
}

Json error_answer(const Json& id, const std::string& sentence) {
  return {{"event", "error"}, {"id", id}, {"error", sentence}};
}

std::string to_line(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

const char* name_of(Ending ending) {
  switch (ending) {
    case Ending::length:
      return "length";
    case Ending::end:
      return "end";
    case Ending::stopped:
      return "stop";
  }
  return "";
}

}  // namespace katman
