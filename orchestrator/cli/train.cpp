// katman train: a run on this machine. katman worker: one rank of it.
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <memory>

#include "core/backend.h"
#include "core/error.h"
#include "core/host_name.h"
#include "core/log.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/cli/run_option.h"
#include "orchestrator/control/reach.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/launch/launcher.h"
#include "orchestrator/launch/placement.h"
#include "orchestrator/run_data.h"
#include "orchestrator/run_tasks.h"
#include "orchestrator/train_here.h"
#include "orchestrator/worker.h"
#include "parallel/checkpoint/gather.h"
#include "parallel/comm/mpi.h"
#include "parallel/comm/threads.h"

namespace katman {
namespace {

// For another rank: it may be writing the end of a checkpoint to a slow disk.
constexpr std::chrono::minutes longest_wait{10};

struct TrainOptions {
  RunOption run;
  std::string dashboard = {};
  bool check = false;
};

void print_checked(const RunSpec& spec) {
  const Mesh mesh = Job{.spec = spec}.mesh();
  fmt::print("{}{}", to_text(spec),
             as_comment(describe(mesh, place(mesh, {{"this machine", mesh.size()}}))));
}

// Of this machine, in bytes; what other processes use of it is not looked at.
int64_t memory_bytes() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

void run_train(const TrainOptions& options) {
  const RunSpec spec = options.run.completed();
  // Before any rank starts: the data opens, the model fits its tokenizer, the mesh and this
  // machine, and its tasks can be asked.
  const auto data = open_run_data(spec);
  const TrainConfig config = train_config(spec, *data);
  config.check();
  RunTasks(spec, *data, config.model);
  if (const int64_t needed = config.state_bytes(), there = memory_bytes();
      needed > there && !options.check && !spec.device().kind().starts_with("cuda"))
    throw UsageError(fmt::format(
        "weights, gradients and optimizer of {:.1f} million parameters take {:.1f} GB with mesh.dp "
        "= {}, and this machine has {:.1f}: use a smaller model, fewer replicas, or more machines",
        static_cast<double>(config.model.parameters()) * 1e-6, static_cast<double>(needed) * 1e-9,
        config.mesh.dp, static_cast<double>(there) * 1e-9));
  if (options.check)
    print_checked(spec);
  else
    train_here(spec, options.dashboard);
}

void run_finetune(const TrainOptions& options) {
  require_usage(options.run.read().has_finetune(),
                "{} has no section finetune {{ from: ... train: ... }}; katman train pre-trains",
                options.run.file);
  run_train(options);
}

// The rank of this process: by the hosts of all, however they were dealt out.
int rank_here(const Mesh& mesh, Comm& processes) {
  require_usage(mesh.size() == processes.size(), "the run has {} ranks ({}), and {} were started",
                mesh.size(), to_string(mesh), processes.size());
  const auto backend = make_backend("reference");
  const auto hosts = gather(processes, *backend, host_name());
  return ranks_of_processes(mesh, hosts)[static_cast<size_t>(processes.rank())];
}

void run_as_worker(const std::string& run_file, const WorkerOptions& options) {
  // A rank ends with what started it (mpirun, or the shell that stands over it): nobody would look
  // after it any more.
  if (options.generation > 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error with a sentence
  const RunSpec spec = RunOption{.file = run_file}.completed();
  const auto& mesh = spec.mesh();
  if (!MpiSession::launched() && mesh.tp() * mesh.dp() * mesh.pp() == 1) {
    ThreadWorld world(1);
    run_worker(spec, *world.comm(0), options);
    return;
  }
  require_usage(MpiSession::launched(),
                "{} needs several ranks: mpirun -n RANKS katman worker {}; on this machine, "
                "`katman train {}` does that itself",
                run_file, run_file, run_file);
  MpiSession session(longest_wait);
  const auto all = session.world();
  const int rank = rank_here(Job{.spec = spec}.mesh(), *all);
  const auto world = all->split(0, rank, fmt::format("world of rank {}", rank));
  // Rank 0 speaks for the run; what others say carries their name.
  if (rank > 0) spdlog::set_pattern(fmt::format("%^%l%$: [rank {}] %v", rank));
  run_worker(spec, *world, options);
}

void add_options(CLI::App& command, TrainOptions& options) {
  add_run_option(command, options.run);
  command.add_flag("--check", options.check,
                   "only check, and print the run file with every default filled in");
  command
      .add_option("--dashboard", options.dashboard,
                  "where a browser reaches the run; default: 127.0.0.1:7411 or any free port")
      ->type_name("HOST:PORT|off");
}

}  // namespace

void add_finetune(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  auto* command = app.add_subcommand("finetune", "teach a trained GPT from examples");
  add_options(*command, *options);
  command->footer(
      "Files are JSON lines: prompts with completions, conversations, or texts with labels. Like "
      "any\nrun, it goes on after an interruption, on any mesh, and under an orchestrator.\n"
      "Example: katman finetune deploy/runs/finetune-classification.textproto --set "
      "finetune.from=runs/gpt2-124m");
  command->callback([options] { run_finetune(*options); });
}

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  auto* command = app.add_subcommand("train", "pre-train a GPT on this machine");
  add_options(*command, *options);
  command->footer(
      "Everything of the run goes to its directory (default: runs/NAME). Interrupt it, kill it: "
      "the\n"
      "same command goes on from its last checkpoint. Several ranks start under mpirun; when one\n"
      "dies, all start again from the last checkpoint.\n"
      "Example: katman train deploy/runs/gpt2-124m.textproto --set data.corpus=corpus --set "
      "mesh.tp=2");
  command->callback([options] { run_train(*options); });
}

void add_worker(CLI::App& app) {
  struct Request {
    std::string run_file;
    WorkerOptions worker;
  };
  auto request = std::make_shared<Request>();
  auto* command =
      app.add_subcommand("worker", "one rank of a run: started by mpirun or srun, not by people");
  command->add_option("RUN", request->run_file, "the run file, the same for all ranks")->required();
  command->add_option("--threads", request->worker.threads,
                      "of this rank, where the run file leaves device.threads open");
  command->add_option("--generation", request->worker.generation,
                      "which start of the run this is, by its orchestrator's count");
  command->add_option("--report-to", request->worker.report_to.address, "the orchestrator")
      ->type_name("HOST:PORT");
  command->add_option("--token-file", request->worker.report_to.token_file,
                      "a file with the token to show it");
  command->add_option("--ca", request->worker.report_to.ca_file, "certificates to check it by");
  command->add_flag("--terminal", request->worker.terminal,
                    "standard error ends at a terminal, even if it is a pipe here");
  command->footer("Example: mpirun -n 4 katman worker run.textproto --threads 2");
  command->callback([request] { run_as_worker(request->run_file, request->worker); });
}

}  // namespace katman
