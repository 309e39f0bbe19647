// katman orchestrate: looks after runs as a service.
#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <thread>

#include "core/log.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/control/orchestrator.h"
#include "orchestrator/control/server.h"
#include "orchestrator/dashboard/dashboard.h"
#include "orchestrator/launch/local.h"
#include "orchestrator/signals.h"

namespace katman {
namespace {

struct OrchestrateOptions {
  std::string data = "orchestrator-data";
  std::string listen = "127.0.0.1:7410", dashboard = "127.0.0.1:7411";
  int slots = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
};

void run_orchestrate(const OrchestrateOptions& options) {
  FleetPolicy policy;
  policy.slots = options.slots;
  const StopSignals signals;
  Orchestrator orchestrator(options.data, policy, std::make_unique<LocalLauncher>());
  const Server server(orchestrator, options.listen);
  const Dashboard dashboard(orchestrator, options.dashboard);
  orchestrator.start(server.address());
  spdlog::info("dashboard: http://{}/", dashboard.address());
  spdlog::info("looking after the runs in {}, {} slots; submit with: katman submit RUN.textproto{}",
               options.data, options.slots,
               server.address() == OrchestrateOptions().listen ? "" : " --to " + server.address());
  while (!signals.requested()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  spdlog::info("leaving; runs go on, and the next orchestrator on {} looks after them",
               options.data);
}

}  // namespace

void add_orchestrate(CLI::App& app) {
  auto options = std::make_shared<OrchestrateOptions>();
  auto* command = app.add_subcommand(
      "orchestrate", "look after runs: queue, launch, watch, restart from the last checkpoint");
  command->add_option("--data", options->data, "directory of the store and of all runs")
      ->capture_default_str();
  command->add_option("--listen", options->listen, "where people and workers reach it")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--dashboard", options->dashboard, "where a browser reaches it")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--slots", options->slots, "ranks that run at the same time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer(
      "It may be ended or killed: runs go on, and the next one on the same --data finds them.\n"
      "Example: katman orchestrate --data /srv/katman --slots 4");
  command->callback([options] { run_orchestrate(*options); });
}

}  // namespace katman
