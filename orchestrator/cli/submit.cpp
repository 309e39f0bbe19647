// katman submit: hands a run to an orchestrator.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "core/error.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/cli/run_option.h"
#include "orchestrator/control/client.h"
#include "orchestrator/control/fleet.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/launch/placement.h"

namespace katman {
namespace {
namespace fs = std::filesystem;

struct SubmitOptions {
  RunOption run;
  Reach to;
  int priority = 0;
  bool check = false;
};

void print(const RunPlan& plan) {
  fmt::print("{}", plan.run_file());
  const RunSpec spec = parse_run_spec(plan.run_file(), "the orchestrator's plan");
  const auto& mesh = spec.mesh();
  const Mesh shape{static_cast<int>(mesh.tp()), static_cast<int>(mesh.dp()),
                   static_cast<int>(mesh.pp())};
  fmt::print("{}",
             as_comment(fmt::format("launcher: {}\n{}", plan.launcher(),
                                    describe(shape, {plan.nodes().begin(), plan.nodes().end()}))));
}

// A path means what it means here, wherever the orchestrator was started.
void settle(std::string& path) {
  if (fs::exists(path)) path = fs::absolute(path).string();
}
std::string settled_task(std::string name) {
  constexpr std::string_view cloze = "cloze:";
  if (!name.starts_with(cloze)) return settle(name), name;
  std::string corpus = name.substr(cloze.size());
  settle(corpus);
  return std::string(cloze) + corpus;
}

void run_submit(const SubmitOptions& options) {
  RunSpec spec = options.run.read();
  if (spec.name().empty()) spec.set_name(options.run.name());
  settle(*spec.mutable_data()->mutable_corpus());
  if (spec.has_finetune()) {
    settle(*spec.mutable_finetune()->mutable_from());
    for (std::string& file : *spec.mutable_finetune()->mutable_train()) settle(file);
    for (std::string& file : *spec.mutable_finetune()->mutable_held_out()) settle(file);
  }
  if (spec.has_evaluation())
    for (std::string& task : *spec.mutable_evaluation()->mutable_tasks()) task = settled_task(task);
  SubmitRequest request;
  request.set_id(new_id());
  request.set_run_file(to_text(spec));
  request.set_priority(options.priority);
  request.set_actor(who_am_i());
  if (options.check) return print(Client(options.to).plan(request));
  const RunView run = Client(options.to).submit(request);
  fmt::print("{}: {}; everything of it goes to {}\n", run.name(), to_string(run.state()),
             run.directory());
}

}  // namespace

void add_submit(CLI::App& app) {
  auto options = std::make_shared<SubmitOptions>();
  auto* command = app.add_subcommand("submit", "queue a run at an orchestrator");
  add_run_option(*command, options->run);
  command->add_option("--priority", options->priority, "higher goes first")->capture_default_str();
  command->add_flag("--check", options->check,
                    "only check, and print what the orchestrator would run, and where");
  add_orchestrator_options(*command, options->to);
  command->footer(
      "Example: katman submit deploy/runs/gpt2-124m.textproto --set data.corpus=corpus --priority "
      "1");
  command->callback([options] { run_submit(*options); });
}

}  // namespace katman
