// katman generate: a trained model continues texts.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/cli/ranks.h"
#include "orchestrator/completion/conversation.h"
#include "orchestrator/completion/request.h"
#include "orchestrator/loaded_model.h"
#include "parallel/checkpoint/gather.h"
#include "parallel/checkpoint/safetensors.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string checkpoint, prompt, prompt_file, requests, logits, system;
  int64_t step = -1, together = 16;
  CompletionRequest request;  // the prompt of the command line, and what requests leave open
  ModelOptions model;
  bool json = false, json_lines = false, chat = false;
};

void print(const std::string& bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
  std::fflush(stdout);
}

// What the command line asks for, checked and read before any rank starts.
class Job {
 public:
  explicit Job(const Options& options)
      : options_(options),
        checkpoint_(chosen_checkpoint(options.checkpoint, options.step)),
        tokenizer_(tokenizer_of(checkpoint_)),
        config_(read_checkpoint_info(checkpoint_).model),
        default_(options.request) {
    options.model.check(config_);
    default_.prompt.sampling.check();
    const int sources = !options.prompt.empty() + !options.prompt_file.empty() +
                        !options.request.prompt.ids.empty() + !options.requests.empty() +
                        options.json_lines;
    require_usage(sources <= 1,
                  "give one of --prompt, --prompt-file, --ids, --requests and --json-lines, not "
                  "both");
    require_usage(options.chat || options.system.empty(),
                  "--system is what a conversation begins with: give --chat too");
    if (options.chat)
      begin_conversation();
    else if (!options.requests.empty())
      read_requests();
    else if (!options.json_lines)
      read_prompt();
  }

  void run(Comm& world) {
    LoadedModel model(checkpoint_, options_.model, world);
    speaks_ = world.rank() == 0;
    if (!options_.logits.empty())
      write_logits(model.logits(requests_.at(0).prompt.ids));
    else if (options_.chat)
      converse(model);
    else if (options_.json_lines)
      serve(model);
    else if (!options_.requests.empty())
      answer_all(model);
    else
      speak(model);
  }

 private:
  void read_prompt() {
    CompletionRequest request = default_;
    if (request.prompt.ids.empty())
      request.prompt.ids =
          prompt_ids(tokenizer_, options_.prompt_file.empty() ? options_.prompt
                                                              : read_text(options_.prompt_file));
    check(request, "the prompt");
    requests_.push_back(std::move(request));
  }

  void begin_conversation() {
    require_usage(!options_.json && !options_.json_lines && options_.requests.empty() &&
                      options_.request.prompt.ids.empty() && options_.logits.empty(),
                  "--chat reads questions from standard input, or one from --prompt or "
                  "--prompt-file, and writes answers: it goes with no other input or output");
    const int64_t answer = std::min(default_.prompt.most, config_.sequence / 2);
    conversation_.emplace(tokenizer_, options_.system, config_.sequence - answer);
    default_.stops.emplace_back(end_of_turn);
  }

  void read_requests() {
    std::ifstream file(options_.requests);
    require_usage(file.is_open(), "cannot open {}", options_.requests);
    int64_t number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string where = fmt::format("{}, line {}", options_.requests, number);
      requests_.push_back(parse(line, where, number));
    }
    require_usage(!requests_.empty(), "{} has no requests", options_.requests);
  }

  CompletionRequest parse(const std::string& line, const std::string& where, int64_t number) const {
    CompletionRequest defaults = default_;
    defaults.id = number;
    CompletionRequest request = parse_request(line, where, defaults, tokenizer_);
    check(request, where);
    return request;
  }

  void check(const CompletionRequest& request, const std::string& where) const {
    for (const int32_t id : request.prompt.ids)
      require_usage(id >= 0 && id < config_.vocabulary,
                    "{}: {} is not a token; this model has 0 to {}", where, id,
                    config_.vocabulary - 1);
    require_usage(std::ssize(request.prompt.ids) <= config_.sequence,
                  "{}: it has {} tokens, and this model reads at most {}; shorten it", where,
                  request.prompt.ids.size(), config_.sequence);
  }

  int32_t end() const { return static_cast<int32_t>(tokenizer_.end_of_document()); }
  void say(const Json& json) const {
    if (speaks_) print(to_line(json));
  }

  // One prompt: its text and the continuation as it grows, or both as JSON at the end.
  void speak(LoadedModel& model) {
    const CompletionRequest& request = requests_.front();
    const bool text = speaks_ && !options_.json;
    TextStream shown;
    if (text && options_.request.prompt.ids.empty()) print(shown.add(text_of(request.prompt.ids)));
    Answer answer(request, tokenizer_);
    const Listener listener{[&](size_t, const Drawn& drawn) {
                              const Json line = answer.token(drawn);
                              if (text) print(line["text"].get<std::string>());
                              return !answer.stopped();
                            },
                            [&](size_t, Ending ending) {
                              Json done = answer.done(ending);
                              done.erase("event");
                              done["checkpoint"] = model.info().directory.string();
                              done["step"] = model.info().step;
                              done["prompt_ids"] = request.prompt.ids;
                              if (text) print("\n");
                              if (options_.json) say(done);
                            }};
    generate(model.reader(), {&request.prompt, 1}, end(), 1, listener);
  }

  // Every request of a file, many at a time; answers come in the order in which they end.
  void answer_all(LoadedModel& model) {
    std::vector<Prompt> prompts;
    std::vector<Answer> answers;
    for (const CompletionRequest& request : requests_) {
      prompts.push_back(request.prompt);
      answers.emplace_back(request, tokenizer_);
    }
    const Listener listener{[&](size_t i, const Drawn& drawn) {
                              answers[i].token(drawn);
                              return !answers[i].stopped();
                            },
                            [&](size_t i, Ending ending) { say(answers[i].done(ending)); }};
    generate(model.reader(), prompts, end(), options_.together, listener);
  }

  // Question and answer in turn, until the questions end.
  void converse(LoadedModel& model) {
    const std::string one =
        options_.prompt_file.empty() ? options_.prompt : read_text(options_.prompt_file);
    if (!one.empty()) return answer(model, conversation_->ask(one));
    const bool person = isatty(STDIN_FILENO);
    for (;;) {
      if (person && speaks_) fmt::print(stderr, "> ");
      const auto question = next_line(model);
      if (!question) return;
      if (question->find_first_not_of(" \t\r") == std::string::npos) continue;
      const bool whole = conversation_->forgotten() == 0;
      try {
        answer(model, conversation_->ask(*question));
      } catch (const UsageError& error) {
        if (speaks_) spdlog::warn("{}", error.what());
      }
      if (speaks_ && whole && conversation_->forgotten() > 0)
        spdlog::warn(
            "the conversation is longer than the {} tokens that this model can read: its "
            "beginning is forgotten from here on",
            config_.sequence);
    }
  }

  void answer(LoadedModel& model, std::vector<int32_t> prompt) {
    CompletionRequest request = default_;
    request.prompt.ids = std::move(prompt);
    Answer answer(request, tokenizer_);
    const auto show = [&](const std::string& text) {
      if (speaks_) print(text);
    };
    const Listener listener{[&](size_t, const Drawn& drawn) {
                              show(answer.token(drawn)["text"].get<std::string>());
                              return !answer.stopped();
                            },
                            [&](size_t, Ending ending) {
                              conversation_->answered(answer.done(ending)["text"]);
                              show("\n");
                            }};
    generate(model.reader(), {&request.prompt, 1}, end(), 1, listener);
  }

  // Of rank 0's standard input, on all ranks.
  std::optional<std::string> next_line(LoadedModel& model) const {
    std::string line;
    const bool more = speaks_ && std::getline(std::cin, line);
    // A newline tells an empty line from the end.
    line = gather(model.world(), model.backend(), more ? line + "\n" : std::string())[0];
    if (line.empty()) return std::nullopt;
    line.pop_back();
    return line;
  }

  // Requests from standard input as they come, each answered token by token, until it ends.
  void serve(LoadedModel& model) {
    say({{"event", "ready"},
         {"checkpoint", model.info().directory.string()},
         {"step", model.info().step},
         {"parameters", config_.parameters()},
         {"positions", config_.sequence},
         {"vocabulary", config_.vocabulary}});
    for (int64_t number = 1;; ++number) {
      const auto line = next_line(model);
      if (!line) return;
      answer_one(model, *line, number);
    }
  }

  void answer_one(LoadedModel& model, const std::string& line, int64_t number) {
    if (line.find_first_not_of(" \t\r\n") == std::string::npos) return;
    CompletionRequest request;
    try {
      request = parse(line, fmt::format("request {}", number), number);
    } catch (const UsageError& error) {
      const Json json = Json::parse(line, nullptr, false);
      const bool named = json.is_object() && json.contains("id");
      return say(error_answer(named ? json["id"] : Json(number), error.what()));
    }
    Answer answer(request, tokenizer_);
    const Listener listener{[&](size_t, const Drawn& drawn) {
                              say(answer.token(drawn));
                              return !answer.stopped();
                            },
                            [&](size_t, Ending ending) { say(answer.done(ending)); }};
    generate(model.reader(), {&request.prompt, 1}, end(), 1, listener);
  }

  std::string text_of(const std::vector<int32_t>& ids) const {
    return tokenizer_.decode(std::vector<uint32_t>(ids.begin(), ids.end()));
  }

  void write_logits(const std::vector<float>& logits) const {
    if (!speaks_) return;
    const std::vector<int32_t>& ids = requests_.front().prompt.ids;
    const auto rows = std::ssize(ids);
    const Files files;
    FileWriter file(files, options_.logits);
    const std::string head =
        safetensors_head({{"logits", "F32", {rows, std::ssize(logits) / rows}, 0, 0},
                          {"tokens", "I32", {rows}, 0, 0}},
                         {});
    file.write(std::as_bytes(std::span(head)));
    file.write(std::as_bytes(std::span(logits)));
    file.write(std::as_bytes(std::span(ids)));
    file.commit();
  }

  const Options& options_;
  std::filesystem::path checkpoint_;
  Tokenizer tokenizer_;
  GptConfig config_;
  CompletionRequest default_;
  std::optional<Conversation> conversation_;
  std::vector<CompletionRequest> requests_;
  bool speaks_ = false;  // rank 0
};

void run(const Options& options) {
  Job job(options);
  on_ranks(options.model.mesh, [&](Comm& world) { job.run(world); });
}

void add_sampling_options(CLI::App& command, CompletionRequest& request) {
  Sampling& sampling = request.prompt.sampling;
  command.add_option("--tokens", request.prompt.most, "at most so many new ones")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--temperature", sampling.temperature, "0: always the most likely token")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "only the k most likely tokens; 0: all");
  command.add_option("--top-p", sampling.top_p, "only the most likely that together reach p");
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "above 1: tokens that the text has become less likely")
      ->capture_default_str();
  command.add_option("--stop", request.stops, "end before this string; may be given several times")
      ->expected(1)
      ->take_all();
  command.add_option("--seed", sampling.seed, "another seed, another text")->capture_default_str();
  command.add_option("--logprobs", request.prompt.alternatives,
                     "with --json-lines: report so many alternatives to each token");
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("generate", "let a trained model continue a text");
  command
      ->add_option("--checkpoint", options->checkpoint,
                   "a run's directory, its checkpoints, or one of them")
      ->required();
  command->add_option("--step", options->step, "the checkpoint of this step; default: the newest");
  command->add_option("--prompt", options->prompt, "the text to continue; default: a new document");
  command->add_option("--prompt-file", options->prompt_file, "a file with it");
  command->add_option("--ids", options->request.prompt.ids, "the prompt as token ids")
      ->delimiter(',');
  command->add_option("--requests", options->requests,
                      "a file of requests, one JSON object a line; answers are such lines");
  command->add_flag("--json-lines", options->json_lines,
                    "requests from standard input, answers to standard output, token by token");
  command->add_option("--together", options->together, "texts of --requests in one batch")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--chat", options->chat,
                    "a conversation with a model that was fine-tuned on some: a question a line "
                    "from standard input, or one by --prompt");
  command->add_option("--system", options->system, "with --chat: what the system says at first");
  add_sampling_options(*command, options->request);
  add_model_options(*command, options->model, false);
  command->add_option("--logits", options->logits,
                      "write the logits at every position of the prompt to this safetensors file "
                      "instead");
  command->add_flag("--json", options->json, "prompt, ids and text as JSON");
  command->footer(
      "A request: {\"prompt\": \"Once upon\", \"tokens\": 50, \"temperature\": 0.8, \"top_k\": 40, "
      "\"top_p\": 0.9,\n"
      "  \"repetition_penalty\": 1.1, \"seed\": 1, \"stop\": [\"\\n\"], \"logprobs\": 3, \"id\": "
      "7}; "
      "what it leaves\n"
      "out is as on the command line. Answers are lines with \"event\": token, done or error.\n"
      "A model too big for one rank: --tp and --pp start more on this machine.\n"
      "Example: katman generate --checkpoint runs/gpt2-124m --prompt \"Once upon a time\" --top-p "
      "0.9");
  command->callback([options] { run(*options); });
}

}  // namespace katman
