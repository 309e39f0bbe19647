#include "orchestrator/plan_table.h"

#include <fmt/format.h>

namespace katman {

std::vector<std::string> plan_table(const std::vector<StagePlan>& plan) {
  std::vector<std::string> lines = {fmt::format(
      "{:>5} {:>5} | {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} | {:>7} | {:>7} | {:>7} {:>7} {:>7}",
      "stage", "ranks", "weights", "grads", "adam", "packed", "logits", "activ.", "device", "save",
      "tp sent", "dp sent", "pp sent")};
  const auto gb = [](auto bytes) { return static_cast<double>(bytes) * 1e-9; };
  for (const StagePlan& s : plan)
    lines.push_back(fmt::format(
        "{:>5} {:>5} | {:>7.3f} {:>7.3f} {:>7.3f} {:>7.3f} {:>7.3f} {:>7.3f} | {:>7.3f} | {:>7.3f} "
        "| {:>7.3f} {:>7.3f} {:>7.3f}",
        s.stage, s.ranks, gb(s.weights), gb(s.gradients), gb(s.optimizer), gb(s.packed),
        gb(s.logits), gb(s.activations), gb(s.held), gb(s.snapshot), gb(s.traffic.tp_bytes),
        gb(s.traffic.dp_bytes), gb(s.traffic.pp_bytes)));
  return lines;
}

}  // namespace katman
