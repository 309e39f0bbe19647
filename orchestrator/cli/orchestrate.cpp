// katman orchestrate: looks after runs as a service.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "core/error.h"
#include "core/host_name.h"
#include "core/log.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/control/orchestrator.h"
#include "orchestrator/control/server.h"
#include "orchestrator/dashboard/dashboard.h"
#include "orchestrator/launch/local.h"
#include "orchestrator/launch/slurm.h"
#include "orchestrator/signals.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

struct OrchestrateOptions {
  std::string data = "orchestrator-data";
  std::string listen = "127.0.0.1:7410", dashboard = "127.0.0.1:7411", advertise;
  std::string launcher = "local", command, slurm_start = SlurmOptions().starter;
  std::string hosts, tokens, tls_certificate, tls_key, tls_ca;
  int slots = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  FleetPolicy policy;
};

// The chosen one first: it starts runs that do not say otherwise.
std::vector<std::unique_ptr<Launcher>> launchers(const OrchestrateOptions& options) {
  std::vector<std::unique_ptr<Launcher>> all;
  all.push_back(std::make_unique<LocalLauncher>(
      options.hosts.empty() ? std::vector<Node>{{"this machine", options.slots}}
                            : parse_nodes(options.hosts)));
  all.push_back(std::make_unique<SlurmLauncher>(SlurmOptions{.starter = options.slurm_start}));
  if (!options.command.empty()) all.push_back(std::make_unique<CommandLauncher>(options.command));
  const auto chosen = std::ranges::find(all, options.launcher, &Launcher::name);
  require_usage(chosen != all.end(),
                "--launcher is '{}'; use local, slurm, or command with --command",
                options.launcher);
  std::iter_swap(all.begin(), chosen);
  return all;
}

// Tokens and certificates as they were given, and a token of their own for the workers.
Guard guard(const OrchestrateOptions& options, Reach& workers) {
  require_usage(options.tls_certificate.empty() == options.tls_key.empty(),
                "--tls-cert and --tls-key go together");
  Guard guard{.tls_certificate = options.tls_certificate, .tls_key = options.tls_key};
  if (guard.has_tls())
    workers.ca_file =
        fs::absolute(options.tls_ca.empty() ? options.tls_certificate : options.tls_ca);
  if (options.tokens.empty()) return guard;
  guard.access = Access(options.tokens);
  const std::string token = new_token();
  workers.token_file = fs::absolute(fs::path(options.data) / "workers.token");
  write_token(workers.token_file, token);
  guard.access.add({"workers", Role::worker}, token);
  return guard;
}

// Where workers find the listener: HOST of `advertise`, or of the address itself where others can
// use it.
std::string address_for_workers(const OrchestrateOptions& options, const std::string& listening) {
  const size_t colon = listening.rfind(':');
  const std::string host = listening.substr(0, colon);
  if (!options.advertise.empty()) return options.advertise + listening.substr(colon);
  return (host == "0.0.0.0" || host == "[::]" ? host_name() : host) + listening.substr(colon);
}

void run_orchestrate(OrchestrateOptions options) {
  if (!options.hosts.empty()) {
    options.slots = 0;
    for (const Node& node : parse_nodes(options.hosts)) options.slots += node.slots;
  }
  options.policy.slots = options.slots;
  const StopSignals signals;
  Reach workers;
  Orchestrator orchestrator({.data = options.data, .policy = options.policy}, launchers(options));
  const Guard guard = katman::guard(options, workers);
  const Server server(orchestrator, options.listen, guard);
  const Dashboard dashboard(orchestrator, options.dashboard, guard);
  workers.address = address_for_workers(options, server.address());
  orchestrator.start(workers);
  spdlog::info("dashboard: {}", dashboard.url());
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
  command
      ->add_option("--hosts", options->hosts,
                   "machines that mpirun reaches, this one first, instead of --slots")
      ->type_name("HOST:SLOTS,...");
  command
      ->add_option("--launcher", options->launcher,
                   "how runs start that do not say it themselves: local, slurm or command")
      ->capture_default_str();
  command->add_option("--command", options->command,
                      "what launcher `command` runs; {worker}, {ranks}, {name}, {generation}, "
                      "{directory} and {run_file} are filled in, no shell reads it");
  command
      ->add_option("--slurm-start", options->slurm_start,
                   "what starts the ranks within an allocation of SLURM")
      ->capture_default_str();
  command->add_option("--advertise", options->advertise,
                      "the host by which workers on other machines reach this one");
  command->add_option("--tokens", options->tokens,
                      "file of tokens, one `viewer|operator NAME TOKEN` per line");
  command->add_option("--tls-cert", options->tls_certificate, "certificate chain to show, PEM");
  command->add_option("--tls-key", options->tls_key, "its key");
  command->add_option("--tls-ca", options->tls_ca,
                      "by which workers check the certificate; default: the certificate itself");
  command
      ->add_option("--silent-after", options->policy.silent_s,
                   "seconds without a word or a step after which a rank is taken for gone")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--hang-after", options->policy.hang_floor_s,
                   "seconds that a step may always take; five times the usual is fine, too")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer(
      "It listens where others can reach it only with --tls-cert, --tls-key and --tokens.\n"
      "It may be ended or killed: runs go on, and the next one on the same --data finds them.\n"
      "Example: katman orchestrate --data /srv/katman --slots 4");
  command->callback([options] { run_orchestrate(*options); });
}

}  // namespace katman
