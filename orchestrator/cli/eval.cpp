// katman eval: tasks put to a trained model, without any change to its weights.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/cli/ranks.h"
#include "orchestrator/completion/request.h"
#include "orchestrator/eval/builtin.h"
#include "orchestrator/eval/evaluate.h"
#include "orchestrator/eval/table.h"
#include "parallel/checkpoint/files.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string checkpoint, samples, write_tasks;
  std::vector<std::string> tasks;
  int64_t step = -1;
  EvalOptions eval;
  ModelOptions model;
  bool json = false;
};

// How far a task is: on a terminal one line that changes, elsewhere a line every ten seconds.
class ProgressLine {
 public:
  ProgressLine(std::string task, bool shown) : task_(std::move(task)), shown_(shown) {}

  void operator()(int64_t done, int64_t of) {
    const bool terminal = isatty(STDERR_FILENO);
    const auto now = Clock::now();
    const auto pause = terminal ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
    if (!shown_ || now - last_ < pause) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = static_cast<double>(done) / seconds;
    fmt::print(stderr, "{}{}: {} of {} requests, {:.1f}/s, {:.0f} s left{}", terminal ? "\r" : "",
               task_, done, of, rate, static_cast<double>(of - done) / rate,
               terminal ? "\x1b[K" : "\n");
    wrote_ = terminal;
  }
  ~ProgressLine() {
    if (wrote_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  std::string task_;
  bool shown_, wrote_ = false;
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

Json to_json(const TaskResult& result) {
  Json metrics = Json::object();
  for (const Metric& metric : result.metrics) {
    metrics[metric.name]["value"] = metric.value;
    metrics[metric.name]["standard_error"] =
        metric.standard_error ? Json(*metric.standard_error) : Json();
  }
  return {{"task", result.task},       {"kind", result.kind},
          {"shots", result.shots},     {"examples", result.examples},
          {"seconds", result.seconds}, {"truncated", result.truncated},
          {"metrics", metrics}};
}

void write_tasks(const Options& options) {
  const Files files;
  files.make_directory(options.write_tasks);
  for (const Task& task : tasks_named(options.tasks, options.eval.seed)) {
    const auto file = std::filesystem::path(options.write_tasks) / (task.name + ".jsonl");
    files.write(file, to_text(task));
    fmt::print("{}: {} examples\n", file.string(), task.examples.size());
  }
}

// Everything on one rank of the model, from its weights to the table.
class Evaluation {
 public:
  Evaluation(const Options& options, const std::filesystem::path& checkpoint,
             const std::vector<Task>& tasks, Comm& world)
      : options_(options),
        tasks_(tasks),
        tokenizer_(tokenizer_of(checkpoint)),
        model_(checkpoint, options.model, world),
        speaks_(world.rank() == 0) {}

  void run() {
    std::vector<TaskResult> results;
    for (const Task& task : tasks_) results.push_back(ask(task));
    if (!speaks_) return;
    report(results);
    if (!options_.samples.empty()) write_samples(results);
  }

 private:
  TaskResult ask(const Task& task) {
    ProgressLine line(task.name, speaks_);
    TaskResult result = evaluate(
        task, options_.eval, {model_.reader(), tokenizer_, model_.backend(), *model_.groups().dp},
        [&](int64_t done, int64_t of) { line(done, of); });
    const std::string note = truncation_note(result, model_.info().model.sequence);
    if (speaks_ && !note.empty()) spdlog::warn("{}", note);
    return result;
  }

  void report(const std::vector<TaskResult>& results) const {
    if (!options_.json) {
      for (const std::string& line : result_table(results)) fmt::print("{}\n", line);
      return;
    }
    Json json = {{"checkpoint", model_.info().directory.string()},
                 {"step", model_.info().step},
                 {"seed", options_.eval.seed},
                 {"results", Json::array()}};
    for (const TaskResult& result : results) json["results"].push_back(to_json(result));
    fmt::print("{}", to_line(json));
  }

  void write_samples(const std::vector<TaskResult>& results) const {
    std::string text;
    for (const TaskResult& result : results)
      for (const Json& sample : result.samples) {
        Json line = {{"task", result.task}};
        line.update(sample);
        text += to_line(line);
      }
    Files().write(options_.samples, text);
  }

  const Options& options_;
  const std::vector<Task>& tasks_;
  Tokenizer tokenizer_;
  LoadedModel model_;
  bool speaks_;
};

void run(const Options& options) {
  if (!options.write_tasks.empty()) return write_tasks(options);
  require_usage(!options.checkpoint.empty(), "--checkpoint is missing: name a run or a checkpoint");
  const auto checkpoint = chosen_checkpoint(options.checkpoint, options.step);
  const GptConfig model = read_checkpoint_info(checkpoint).model;
  options.model.check(model);
  tokenizer_of(checkpoint);
  const std::vector<Task> tasks = tasks_named(options.tasks, options.eval.seed);
  for (const Task& task : tasks) check_askable(task, options.eval, model.sequence);
  on_ranks(options.model.mesh,
           [&](Comm& world) { Evaluation(options, checkpoint, tasks, world).run(); });
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("eval", "put tasks to a trained model: zero-, one-, few-shot");
  command->add_option("--checkpoint", options->checkpoint,
                      "a run's directory, its checkpoints, or one of them");
  command->add_option("--step", options->step, "the checkpoint of this step; default: the newest");
  command->add_option("--tasks", options->tasks, "task files, or builtin:NAME (see below)")
      ->required();
  command->add_option("--shots", options->eval.shots, "examples with answers in every context")
      ->capture_default_str();
  command->add_option("--seed", options->eval.seed, "another seed, other shots")
      ->capture_default_str();
  command->add_option("--limit", options->eval.limit, "only so many examples of each task; 0: all");
  command->add_option("--together", options->eval.together, "completions written in one batch")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_model_options(*command, options->model, true);
  command->add_flag("--json", options->json, "results as JSON");
  command->add_option("--samples", options->samples,
                      "write every example's context and scores to this file, as JSON lines");
  command->add_option("--write-tasks", options->write_tasks,
                      "write the tasks to this directory as task files instead of asking them");
  command->footer(
      "A task file is JSON lines: a header, then one example a line.\n"
      "  {\"task\": \"capitals\", \"kind\": \"multiple_choice\", \"description\": \"\"}\n"
      "  {\"question\": \"France:\", \"choices\": [\"Rome\", \"Paris\"], \"answer\": 1}\n"
      "Kinds: multiple_choice (question, choices, answer), last_word (text), completion (question, "
      "answer),\n"
      "perplexity (text). The header may have: description, target_delimiter (\" \"), "
      "shot_delimiter (\"\\n\\n\"),\n"
      "sampler (random or first), mutual_information, stop ([\"\\n\"]), tokens (32). Examples with "
      "\"shot\": true\n"
      "are only shown, never asked.\n"
      "Builtin tasks, generated on the spot: " +
      builtin_task_names() +
      ";\n"
      "and cloze:CORPUS, last words of paragraphs of a corpus's validation split.\n"
      "Example: katman eval --checkpoint runs/gpt2-124m --tasks builtin:arithmetic qa.jsonl "
      "--shots "
      "5");
  command->callback([options] { run(*options); });
}

}  // namespace katman
