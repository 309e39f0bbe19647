#include "orchestrator/run_tasks.h"

#include <set>

#include "core/error.h"
#include "orchestrator/eval/builtin.h"
#include "orchestrator/eval/table.h"

namespace katman {

RunTasks::RunTasks(const RunSpec& spec, const RunData& data, const GptConfig& model)
    : spec_(spec.evaluation()) {
  if (!spec.has_evaluation()) return;
  tasks_ = tasks_named({spec_.tasks().begin(), spec_.tasks().end()}, spec_.seed());
  tokenizer_ = data.tokenizer();
  std::set<std::string> names;
  for (const Task& task : tasks_) {
    require_usage(names.insert(series_name(task.name)).second,
                  "evaluation.tasks has two tasks whose series would be named eval/{}: give one "
                  "another name in its header, or leave it out",
                  series_name(task.name));
    for (const EvalOptions& options : askings(task)) check_askable(task, options, model.sequence);
  }
}

std::vector<EvalOptions> RunTasks::askings(const Task& task) const {
  std::vector<EvalOptions> askings;
  for (const int64_t shots : spec_.shots())
    if (task.kind != Task::Kind::perplexity || askings.empty())
      askings.push_back({.shots = task.kind == Task::Kind::perplexity ? 0 : shots,
                         .seed = spec_.seed(),
                         .limit = spec_.limit()});
  return askings;
}

std::vector<TaskResult> RunTasks::ask(Reader& reader, Backend& backend, Comm& replicas,
                                      const std::function<void(int64_t)>& progress) const {
  std::vector<TaskResult> results;
  int64_t before = 0;  // requests of the askings that are over
  for (const Task& task : tasks_)
    for (const EvalOptions& options : askings(task)) {
      int64_t answered = 0;
      results.push_back(evaluate(task, options, {reader, *tokenizer_, backend, replicas},
                                 [&](int64_t done, int64_t) {
                                   answered = done;
                                   progress(before + done);
                                 }));
      before += answered;
      results.back().samples.clear();
    }
  return results;
}

}  // namespace katman
