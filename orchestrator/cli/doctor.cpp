// katman doctor: is this machine fit?
#include "orchestrator/doctor/doctor.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "orchestrator/cli/cli.h"

namespace katman {
namespace {

void show(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    fmt::print("{:<8} {:<16} {}\n", name_of(finding.state), finding.what, finding.found);
    if (!finding.advice.empty()) fmt::print("{:<8} {:<16} -> {}\n", "", "", finding.advice);
  }
}

nlohmann::ordered_json to_json(const std::vector<Finding>& findings) {
  auto list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings)
    list.push_back({{"what", finding.what},
                    {"state", name_of(finding.state)},
                    {"found", finding.found},
                    {"advice", finding.advice}});
  return list;
}

void run(const std::string& directory, bool json) {
  const auto findings = examine(directory);
  if (json)
    fmt::print("{}\n", to_json(findings).dump());
  else
    show(findings);
  const auto missing = std::ranges::count(findings, Finding::State::missing, &Finding::state);
  require(missing == 0, "{} of these would stand in the way of training", missing);
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto directory = std::make_shared<std::string>(".");
  auto json = std::make_shared<bool>(false);
  auto* command =
      app.add_subcommand("doctor", "is this machine fit, and what to do where it is not");
  command->add_option("--directory", *directory, "where runs would go")->capture_default_str();
  command->add_flag("--json", *json, "findings as JSON");
  command->footer(
      "Exits with 1 when something is MISSING; what is `none` is a choice this machine lacks.\n"
      "Example: katman doctor");
  command->callback([directory, json] { run(*directory, *json); });
}

}  // namespace katman
