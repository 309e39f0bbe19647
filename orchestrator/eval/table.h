// Results as a person and as a chart want them.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/control/metrics.h"
#include "orchestrator/eval/evaluate.h"

namespace katman {

// A head and a line for every metric.
std::vector<std::string> result_table(const std::vector<TaskResult>& results);

// What a reader should know about requests that did not fit into `positions`, or nothing.
std::string truncation_note(const TaskResult& result, int64_t positions);

// "eval/TASK/5-shot/METRIC", and the standard error, where there is one, as "..._stderr". What
// names of series cannot hold becomes '_' in the task's.
Scalars series_of(const std::vector<TaskResult>& results);
// The part of those names that tells tasks apart.
std::string series_name(const std::string& task);

}  // namespace katman
