// katman runs: what became of submitted runs, and what shall become of them.
#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <ctime>
#include <memory>
#include <thread>

#include "core/error.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/control/client.h"
#include "orchestrator/control/clock.h"
#include "orchestrator/control/fleet.h"
#include "orchestrator/control/reporter.h"
#include "orchestrator/launch/placement.h"

namespace katman {
namespace {

struct RunsOptions {
  Reach to;
  std::string run, reason, name, layout;
  uint64_t generation = 0, step = 0, version = 0;
  bool wait = false;
};
using Shared = std::shared_ptr<RunsOptions>;

std::string when(double unix_s) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%F %T", &local)};
}

void list_runs(const RunsOptions& options) {
  const RunList list = Client(options.to).list();
  fmt::print("{:<24} {:<16} {:>12} {:>9} {:>15} {:>11} {:>9}\n", "run", "state", "for", "loss",
             "step", "tokens/s", "restarts");
  for (const RunView& run : list.runs())
    fmt::print("{:<24} {:<16} {:>12} {:>9.4f} {:>15} {:>11.0f} {:>9}\n", run.name(),
               to_string(run.state()), duration(list.now() - run.since()), run.loss(),
               fmt::format("{}/{}", run.step(), run.steps()), run.tokens_per_s(), run.restarts());
}

void print(const Event& event) {
  fmt::print("{}  {}  generation {}  {}: {}\n", when(event.time()), event.run(), event.generation(),
             event.kind(), event.text());
}

// "rank 2 (tp 0, dp 1, pp 0) on gpu1: step 17 in 0.31 s, 0.05 of it waiting; 812 MB".
void print(const RankView& rank, double now) {
  fmt::print(
      "rank {} (tp {}, dp {}, pp {}) on {}, process {}: step {} in {:.3f} s, {:.3f} of it "
      "waiting; {:.0f} MB; heard {:.1f} s ago{}\n",
      rank.rank(), rank.tp(), rank.dp(), rank.pp(), rank.host(), rank.process(), rank.step(),
      rank.step_s(), rank.waited_s(), static_cast<double>(rank.memory_bytes()) * 1e-6,
      now - rank.heard_at(),
      rank.waits_for().empty()
          ? ""
          : fmt::format("; waits {:.1f} s for {}", rank.waits_s(), rank.waits_for()));
}

void show_run(const RunsOptions& options) {
  Client client(options.to);
  const RunDetails details = client.details(options.run);
  const RunView& run = details.run();
  fmt::print("{}: {} for {}{}\n", run.name(), to_string(run.state()),
             duration(unix_now() - run.since()), run.why().empty() ? "" : " (" + run.why() + ")");
  if (!run.suspect().empty()) fmt::print("warning: no word from {}\n", run.suspect());
  if (!run.unsaved().empty()) fmt::print("warning: {}\n", run.unsaved());
  fmt::print("step {} of {}, newest checkpoint after step {}, loss {:.4f}, {:.0f} tokens/s\n",
             run.step(), run.steps(), run.committed(), run.loss(), run.tokens_per_s());
  fmt::print("generation {}, {} restarts after errors, version {}, priority {}, {}\n",
             run.generation(), run.restarts(), run.version(), run.priority(), run.directory());
  fmt::print("{}, launcher {}{}\n", run.layout(), run.launcher(),
             run.job().empty() ? "" : ": " + run.job());
  fmt::print("{}",
             describe(parse_mesh(run.layout()), {details.nodes().begin(), details.nodes().end()}));
  for (const RankView& rank : details.ranks()) print(rank, unix_now());
  for (const SavedCheckpoint& saved : details.checkpoints())
    fmt::print("checkpoint of step {}, {:.1f} MB, {}{}{}\n", saved.step(),
               static_cast<double>(saved.bytes()) * 1e-6, when(saved.saved_at()),
               saved.discarded() ? ", rolled back" : "",
               saved.verified().empty() ? "" : ", read back: " + saved.verified());
}

void watch_runs(const RunsOptions& options) {
  WatchRequest request;
  request.set_run(options.run);
  Client client(options.to);
  if (!options.run.empty()) client.show(options.run);  // says so when there is none
  client.watch(request, [](const Event& event) {
    print(event);
    std::fflush(stdout);
    return true;
  });
}

void print_log(const RunsOptions& options) {
  LogsRequest request;
  request.set_run(options.run);
  request.set_generation(options.generation);
  fmt::print("{}", Client(options.to).logs(request).text());
}

void print_series(const RunsOptions& options) {
  SeriesRequest request;
  request.set_run(options.run);
  request.set_name(options.name);
  const SeriesReply reply = Client(options.to).series(request);
  for (const SeriesPoint& point : reply.points())
    if (!point.discarded()) fmt::print("{}\t{}\n", point.step(), point.mean());
}

// The answer comes at once; with --wait, when the command has been carried out.
void send_command(const RunsOptions& options, Verb verb) {
  Client client(options.to);
  CommandRequest request;
  request.set_id(new_id());
  request.set_run(options.run);
  request.set_verb(verb);
  request.set_actor(who_am_i());
  request.set_reason(options.reason);
  request.set_expected_version(options.version);
  request.set_layout(options.layout);
  request.set_step(options.step);
  CommandResult result = client.command(request);
  while (options.wait && result.outcome() == CommandResult::PENDING) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    result = client.command(request);  // the same id: asks what became of it
  }
  require(result.outcome() != CommandResult::REFUSED, "{}: {} was refused: {}", options.run,
          to_string(verb), result.text());
  fmt::print("{}: {}: {}\n", options.run, to_string(verb), result.text());
}

CLI::App* add_verb(CLI::App& runs, const Shared& options, const char* name, const char* what,
                   const char* example) {
  auto* command = runs.add_subcommand(name, what);
  command->footer(fmt::format("Example: katman runs {}", example));
  add_orchestrator_options(*command, options->to);
  return command;
}

CLI::App* add_command(CLI::App& runs, const Shared& options, Verb verb, const char* what) {
  const std::string name = to_string(verb);
  auto* command = add_verb(runs, options, name.c_str(), what,
                           fmt::format("{} my-run{} --reason \"bad data\" --wait", name,
                                       verb == ROLL_BACK_RUN ? " --step 5000" : "")
                               .c_str());
  command->add_option("RUN", options->run, "the run's name")->required();
  command->add_option("--reason", options->reason, "kept in the run's events");
  command->add_flag("--wait", options->wait, "until it has been carried out");
  command->add_option("--if-version", options->version,
                      "only if nothing has changed since `runs show` said so");
  if (verb == RESUME_RUN || verb == RESTART_RUN || verb == ROLL_BACK_RUN)
    command->add_option("--layout", options->layout, "go on with another one")
        ->type_name("\"tp=2 dp=1 pp=2\"");
  command->callback([options, verb] { send_command(*options, verb); });
  return command;
}

}  // namespace

void add_orchestrator_options(CLI::App& command, Reach& reach) {
  reach.address = "127.0.0.1:7410";
  command.add_option("--to", reach.address, "the orchestrator")
      ->envname("KATMAN_ORCHESTRATOR")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command.add_option("--token-file", reach.token_file, "a file with the token to show")
      ->envname("KATMAN_TOKEN_FILE");
  command.add_option("--ca", reach.ca_file, "certificates to check the orchestrator's by")
      ->envname("KATMAN_CA");
}

void add_runs(CLI::App& app) {
  const auto options = std::make_shared<RunsOptions>();
  auto* runs = app.add_subcommand("runs", "see and command the runs of an orchestrator");
  runs->require_subcommand(1);
  runs->footer("Example: katman runs list");
  add_verb(*runs, options, "list", "all runs: state, step, loss, speed", "list")
      ->callback([options] { list_runs(*options); });
  auto* show =
      add_verb(*runs, options, "show", "one run, and why it is in its state", "show my-run");
  show->add_option("RUN", options->run, "the run's name")->required();
  show->callback([options] { show_run(*options); });
  auto* watch = add_verb(*runs, options, "watch", "events, as they come", "watch my-run");
  watch->add_option("RUN", options->run, "only of this run");
  watch->callback([options] { watch_runs(*options); });
  auto* logs = add_verb(*runs, options, "logs", "the end of what the ranks said", "logs my-run");
  logs->add_option("RUN", options->run, "the run's name")->required();
  logs->add_option("--generation", options->generation, "of which start; 0: the newest");
  logs->callback([options] { print_log(*options); });
  auto* series = add_verb(*runs, options, "series", "a figure over steps, tab-separated",
                          "series my-run validation_loss");
  series->add_option("RUN", options->run, "the run's name")->required();
  series->add_option("NAME", options->name, "loss, grad_norm, tokens_per_s...")->required();
  series->callback([options] { print_series(*options); });
  add_command(*runs, options, CHECKPOINT_NOW, "save a checkpoint after the next step");
  add_command(*runs, options, PAUSE_RUN, "save, and give the slots back until resume");
  add_command(*runs, options, RESUME_RUN, "queue a paused, stopped, failed or held run again");
  add_command(*runs, options, RESTART_RUN, "save, and start again from there");
  add_command(*runs, options, STOP_RUN, "save, and stop");
  add_command(*runs, options, KILL_RUN, "end the processes now, without saving");
  add_command(*runs, options, ROLL_BACK_RUN, "go back to an earlier checkpoint, and on from there")
      ->add_option("--step", options->step, "of the checkpoint; 0: the beginning")
      ->required();
}

}  // namespace katman
