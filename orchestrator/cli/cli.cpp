#include "orchestrator/cli/cli.h"

#include <CLI/CLI.hpp>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/worker.h"
#include "parallel/trainer.h"

namespace katman {
namespace {

int parse_and_run(CLI::App& app, int argc, char** argv) try {
  app.parse(argc, argv);  // runs the chosen command's callback
  return 0;
} catch (const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
  spdlog::error("{} (try: katman {}--help)", error.what(),
                argc > 1 && argv[1][0] != '-' ? std::string(argv[1]) + " " : "");
  return 2;
} catch (const RolledBack& error) {
  spdlog::warn("{}", error.what());
  return rolled_back_status;
} catch (const Diverged& error) {
  spdlog::error("{}", error.what());
  return diverged_status;
} catch (const UsageError& error) {
  spdlog::error("{}", error.what());
  return 2;
} catch (const std::exception& error) {
  spdlog::error("{}", error.what());
  return 1;
}

}  // namespace

int run_command_line(int argc, char** argv) {
  init_log();
  CLI::App app("Katman turns raw web text into a trained GPT: one program, from pages to model.",
               "katman");
  app.require_subcommand(1);
  app.set_version_flag("--version", "katman 0.1.0");
  std::string level = "info";
  app.add_option("--log", level, "trace, debug, info, warn, error or off")
      ->each([](const std::string& chosen) { init_log(chosen); });
  add_data(app);
  add_train(app);
  add_finetune(app);
  add_generate(app);
  add_eval(app);
  add_checkpoint(app);
  add_bench(app);
  add_schedule(app);
  add_plan(app);
  add_doctor(app);
  add_orchestrate(app);
  add_submit(app);
  add_runs(app);
  add_worker(app);
  return parse_and_run(app, argc, argv);
}

}  // namespace katman
