#include "orchestrator/eval/table.h"

#include <fmt/core.h>

#include <cctype>

namespace katman {

std::vector<std::string> result_table(const std::vector<TaskResult>& results) {
  std::vector<std::string> lines = {fmt::format("{:<24}{:>7}{:>10}  {:<18}{:>12}   {}", "task",
                                                "shots", "examples", "metric", "value",
                                                "standard error")};
  for (const TaskResult& result : results)
    for (const Metric& metric : result.metrics)
      lines.push_back(fmt::format(
          "{:<24}{:>7}{:>10}  {:<18}{:>12.4f}   {}", result.task, result.shots, result.examples,
          metric.name, metric.value,
          metric.standard_error ? fmt::format("+- {:.4f}", *metric.standard_error) : ""));
  return lines;
}

std::string truncation_note(const TaskResult& result, int64_t positions) {
  if (result.truncated == 0) return {};
  return fmt::format(
      "{}: {} requests are longer than the model's {} positions and lost their beginning",
      result.task, result.truncated, positions);
}

std::string series_name(const std::string& task) {
  std::string name = task;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  return name;
}

Scalars series_of(const std::vector<TaskResult>& results) {
  Scalars scalars;
  for (const TaskResult& result : results)
    for (const Metric& metric : result.metrics) {
      const std::string name =
          fmt::format("eval/{}/{}-shot/{}", series_name(result.task), result.shots, metric.name);
      scalars.emplace_back(name, metric.value);
      if (metric.standard_error) scalars.emplace_back(name + "_stderr", *metric.standard_error);
    }
  return scalars;
}

}  // namespace katman
