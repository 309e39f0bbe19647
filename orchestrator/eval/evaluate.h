// A task put to a model, and the figures that come of it, defined as in lm-evaluation-harness (Gao
// et al.): the same requests from the same ids, the same scores.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/model/reader.h"
#include "data_pipeline/tokenize/tokenizer.h"
#include "orchestrator/eval/task.h"

namespace katman {

struct EvalOptions {
  int64_t shots = 0;
  uint64_t seed = 0;      // of the shots
  int64_t limit = 0;      // > 0: only the first so many examples
  int64_t together = 32;  // completions written in one batch
};

struct Metric {
  std::string name;
  double value = 0;
  // Of a mean: sample deviation / sqrt(n). Of a perplexity: by the delta method from that of the
  // mean, or of the ratio where texts weigh by their words or bytes. None for one example.
  std::optional<double> standard_error = {};
};

struct TaskResult {
  std::string task, kind;
  int64_t shots = 0, examples = 0;
  double seconds = 0;     // that the asking took
  int64_t truncated = 0;  // requests longer than the model's positions, cut at their beginning
  std::vector<Metric> metrics = {};
  std::vector<nlohmann::ordered_json> samples =
      {};  // [example]: what was asked and what came of it
};

// Throws UsageError for a task that a model of so many positions cannot be asked in this way.
void check_askable(const Task& task, const EvalOptions& options, int64_t positions);

// Who is asked: a model on its ranks, of which `replicas` are copies that share the examples.
struct Asked {
  Reader& reader;
  const Tokenizer& tokenizer;
  Backend& backend;
  Comm& replicas;
};

// Collective over all ranks of the model and its replicas; the same on all. progress is told how
// many of this replica's requests are done, of how many.
TaskResult evaluate(const Task& task, const EvalOptions& options, const Asked& asked,
                    const std::function<void(int64_t done, int64_t of)>& progress);

}  // namespace katman
