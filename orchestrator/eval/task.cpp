#include "orchestrator/eval/task.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<std::pair<const char*, Task::Kind>> kinds = {
    {"multiple_choice", Task::Kind::multiple_choice},
    {"last_word", Task::Kind::last_word},
    {"completion", Task::Kind::completion},
    {"perplexity", Task::Kind::perplexity},
};

Json parse_object(const std::string& line) {
  Json json = Json::parse(line, nullptr, false);
  require_usage(json.is_object(), "it is not a JSON object");
  return json;
}

void check_fields(const Json& json, const std::vector<std::string>& known) {
  for (const auto& [name, value] : json.items())
    require_usage(std::ranges::find(known, name) != known.end(),
                  "\"{}\" means nothing here; there are: {}", name, fmt::join(known, ", "));
}

template <class T>
T field(const Json& json, const char* name, const char* what) {
  require_usage(json.contains(name), "\"{}\" is missing", name);
  try {
    return json[name].get<T>();
  } catch (const nlohmann::json::exception&) {
    throw UsageError(fmt::format("\"{}\" is {}, not {}", name, json[name].dump(), what));
  }
}

template <class T>
void optional_field(const Json& json, const char* name, const char* what, T& value) {
  if (json.contains(name)) value = field<T>(json, name, what);
}

Task parse_header(const Json& json) {
  check_fields(json, {"task", "kind", "description", "target_delimiter", "shot_delimiter",
                      "sampler", "mutual_information", "stop", "tokens"});
  Task task;
  task.name = field<std::string>(json, "task", "a name");
  const auto kind = field<std::string>(json, "kind", "a string");
  const auto found =
      std::ranges::find_if(kinds, [&](const auto& known) { return kind == known.first; });
  require_usage(found != kinds.end(),
                "kind is \"{}\"; use multiple_choice, last_word, completion or perplexity", kind);
  task.kind = found->second;
  optional_field(json, "description", "a string", task.description);
  optional_field(json, "target_delimiter", "a string", task.target_delimiter);
  optional_field(json, "shot_delimiter", "a string", task.shot_delimiter);
  optional_field(json, "mutual_information", "true or false", task.mutual_information);
  optional_field(json, "stop", "a list of strings", task.stops);
  optional_field(json, "tokens", "a number", task.tokens);
  std::string sampler = "random";
  optional_field(json, "sampler", "a string", sampler);
  require_usage(sampler == "random" || sampler == "first", "sampler is \"{}\"; use random or first",
                sampler);
  task.first_shots = sampler == "first";
  require_usage(task.tokens >= 1, "tokens is {}; ask for at least one", task.tokens);
  for (const std::string& stop : task.stops)
    require_usage(!stop.empty(), "a stop string is empty, which would stop everything");
  return task;
}

void read_choices(const Json& json, Example& example) {
  example.choices = field<std::vector<std::string>>(json, "choices", "a list of strings");
  require_usage(example.choices.size() >= 2, "there are {} choices; a choice needs two",
                example.choices.size());
  for (const std::string& choice : example.choices)
    require_usage(!choice.empty(), "a choice is empty");
  require_usage(json.contains("answer"), "\"answer\" is missing");
  if (json["answer"].is_string()) {
    const auto found = std::ranges::find(example.choices, json["answer"].get<std::string>());
    require_usage(found != example.choices.end(), "the answer {} is none of the choices",
                  json["answer"].dump());
    example.gold = found - example.choices.begin();
  } else {
    example.gold = field<int64_t>(json, "answer", "the index or the text of a choice");
    require_usage(example.gold >= 0 && example.gold < std::ssize(example.choices),
                  "the answer is choice {}, and there are 0 to {}", example.gold,
                  example.choices.size() - 1);
  }
}

Example parse_example(const Json& json, Task::Kind kind) {
  Example example;
  if (kind == Task::Kind::last_word || kind == Task::Kind::perplexity) {
    check_fields(json, {"text", "shot"});
    example.question = field<std::string>(json, "text", "a string");
    require_usage(!example.question.empty(), "the text is empty");
    require_usage(kind != Task::Kind::last_word || !split_last_word(example.question).first.empty(),
                  "the text is one word: nothing stands before the last one");
    return example;
  }
  example.question = field<std::string>(json, "question", "a string");
  if (kind == Task::Kind::multiple_choice) {
    check_fields(json, {"question", "choices", "answer", "shot"});
    read_choices(json, example);
    return example;
  }
  check_fields(json, {"question", "answer", "shot"});
  if (json.contains("answer") && json["answer"].is_string())
    example.answers = {json["answer"].get<std::string>()};
  else
    example.answers = field<std::vector<std::string>>(json, "answer", "a string or a list of them");
  require_usage(!example.answers.empty(), "the list of answers is empty");
  return example;
}

void add_line(Task& task, const std::string& line, bool header) {
  const Json json = parse_object(line);
  if (header) {
    task = parse_header(json);
    return;
  }
  bool shot = false;
  optional_field(json, "shot", "true or false", shot);
  (shot ? task.shots : task.examples).push_back(parse_example(json, task.kind));
}

std::string answered(const Task& task, const Example& example) {
  switch (task.kind) {
    case Task::Kind::multiple_choice:
      return example.question + task.target_delimiter +
             example.choices[static_cast<size_t>(example.gold)];
    case Task::Kind::completion:
      return example.question + task.target_delimiter + example.answers.front();
    case Task::Kind::last_word:
    case Task::Kind::perplexity:
      return example.question;
  }
  return {};
}

// `count` indices of `pool` examples without `excluded`.
std::vector<size_t> draw(size_t pool, size_t excluded, size_t count, bool first, const Key& key) {
  std::vector<size_t> left;
  for (size_t i = 0; i < pool; ++i)
    if (i != excluded) left.push_back(i);
  for (size_t i = 0; i < count && !first; ++i)
    std::swap(left[i], left[i + random_bits(key, i) % (left.size() - i)]);
  left.resize(count);
  return left;
}

Json to_json(const Task& task, const Example& example) {
  if (task.kind == Task::Kind::last_word || task.kind == Task::Kind::perplexity)
    return {{"text", example.question}};
  if (task.kind == Task::Kind::completion)
    return {{"question", example.question}, {"answer", example.answers}};
  return {{"question", example.question}, {"choices", example.choices}, {"answer", example.gold}};
}

}  // namespace

const char* name_of(Task::Kind kind) {
  return std::ranges::find_if(kinds, [&](const auto& k) { return k.second == kind; })->first;
}

Task read_task(const std::string& path) {
  std::ifstream file(path);
  require_usage(file.is_open(), "cannot open the task file {}", path);
  Task task;
  int64_t number = 0;
  bool header = true;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      add_line(task, line, header);
    } catch (const Error& error) {
      throw UsageError(fmt::format("{}, line {}: {}", path, number, error.what()));
    }
    header = false;
  }
  require_usage(!header, "{} is empty: a task file begins with its header", path);
  require_usage(!task.examples.empty(), "{} has a header and no example to ask", path);
  return task;
}

std::string to_text(const Task& task) {
  Json header = {{"task", task.name},
                 {"kind", name_of(task.kind)},
                 {"description", task.description},
                 {"target_delimiter", task.target_delimiter},
                 {"shot_delimiter", task.shot_delimiter},
                 {"sampler", task.first_shots ? "first" : "random"},
                 {"mutual_information", task.mutual_information}};
  if (task.kind == Task::Kind::completion) {
    header["stop"] = task.stops;
    header["tokens"] = task.tokens;
  }
  std::string text = header.dump() + "\n";
  for (const Example& example : task.examples) text += to_json(task, example).dump() + "\n";
  for (const Example& example : task.shots) {
    Json json = to_json(task, example);
    json["shot"] = true;
    text += json.dump() + "\n";
  }
  return text;
}

std::string context_of(const Task& task, size_t index, int64_t shots, uint64_t seed) {
  const bool own = task.shots.empty();
  const std::vector<Example>& pool = own ? task.examples : task.shots;
  const int64_t available = std::ssize(pool) - own;
  require_usage(shots <= available, "{} shots are wanted, and {} has only {} examples to show",
                shots, task.name, available);
  std::string context = task.description;
  const Key key = Key(seed).at("shots").at(task.name).at(static_cast<uint64_t>(index));
  for (const size_t shot : draw(pool.size(), own ? index : pool.size(), static_cast<size_t>(shots),
                                task.first_shots, key))
    context += answered(task, pool[shot]) + task.shot_delimiter;
  const Example& example = task.examples[index];
  if (task.kind == Task::Kind::last_word) return context + split_last_word(example.question).first;
  return context + example.question;
}

std::pair<std::string, std::string> split_last_word(const std::string& text) {
  const size_t space = text.rfind(' ');
  if (space == std::string::npos) return {"", text};
  return {text.substr(0, space), text.substr(space)};
}

}  // namespace katman
