// The tasks that a run puts to its model while it learns.
#pragma once

#include <optional>
#include <vector>

#include "data_pipeline/tokenize/tokenizer.h"
#include "orchestrator/eval/evaluate.h"
#include "orchestrator/run_data.h"
#include "proto/run.pb.h"

namespace katman {

class RunTasks {
 public:
  // Of a completed spec; without an evaluation there are none. Throws UsageError, naming the file
  // or the task, for what could not be asked of this model: before training, not in the midst.
  RunTasks(const RunSpec& spec, const RunData& data, const GptConfig& model);

  bool empty() const { return tasks_.empty(); }
  // Every task with every count of shots; without the samples. Collective over the model's ranks
  // and `replicas`; the same on all. progress is told how many requests this replica has answered.
  std::vector<TaskResult> ask(Reader& reader, Backend& backend, Comm& replicas,
                              const std::function<void(int64_t)>& progress) const;

 private:
  std::vector<EvalOptions> askings(const Task& task) const;  // a perplexity knows no shots

  EvaluationSpec spec_;
  std::vector<Task> tasks_;
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace katman
