#include "orchestrator/dashboard/prometheus.h"

#include <fmt/core.h>

#include <functional>

#include "orchestrator/control/fleet.h"

namespace katman {
namespace {

// Names of runs are letters, digits, '.', '_' and '-', so labels need no escapes.
struct Gauge {
  const char* name;
  const char* help;
  std::function<double(const RunView&)> value;
};

}  // namespace

std::string prometheus_text(const RunList& list) {
  std::string text = fmt::format(
      "# HELP katman_slots Ranks that may run at the same time.\n# TYPE katman_slots gauge\n"
      "katman_slots {}\n# HELP katman_run_state 1 for the state that the run is in.\n"
      "# TYPE katman_run_state gauge\n",
      list.slots());
  for (const RunView& run : list.runs())
    text += fmt::format("katman_run_state{{run=\"{}\",state=\"{}\"}} 1\n", run.name(),
                        to_string(run.state()));
  const Gauge gauges[] = {
      {"katman_run_step", "Steps done.", [](const auto& run) { return run.step(); }},
      {"katman_run_steps", "Steps of the whole run.", [](const auto& run) { return run.steps(); }},
      {"katman_run_committed_step", "Step of the newest checkpoint.",
       [](const auto& run) { return run.committed(); }},
      {"katman_run_loss", "Loss of the newest step, nats per token.",
       [](const auto& run) { return run.loss(); }},
      {"katman_run_validation_loss", "Newest validation loss, nats per token.",
       [](const auto& run) { return run.validation_loss(); }},
      {"katman_run_tokens_per_second", "Speed of the newest step.",
       [](const auto& run) { return run.tokens_per_s(); }},
      {"katman_run_utilisation", "Model FLOPs over measured peak, newest step.",
       [](const auto& run) { return run.utilisation(); }},
      {"katman_run_tokens", "Tokens trained on.", [](const auto& run) { return run.tokens(); }},
      {"katman_run_restarts", "Restarts after errors.",
       [](const auto& run) { return run.restarts(); }},
      {"katman_run_ranks", "Ranks of the run.", [](const auto& run) { return run.ranks(); }},
      {"katman_run_live", "1 while its processes may exist.",
       [](const auto& run) { return run.live(); }},
      {"katman_run_heard_age_seconds", "Since rank 0 was last heard of; 0: never, or not live.",
       [&](const auto& run) {
         return run.live() && run.heard_at() > 0 ? list.now() - run.heard_at() : 0.0;
       }}};
  for (const Gauge& gauge : gauges) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n", gauge.name, gauge.help);
    for (const RunView& run : list.runs())
      text += fmt::format("{}{{run=\"{}\"}} {}\n", gauge.name, run.name(), gauge.value(run));
  }
  return text;
}

}  // namespace katman
