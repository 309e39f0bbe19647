#include "orchestrator/cli/cli.h"

#include <CLI/CLI.hpp>

#include "core/error.h"
#include "core/log.h"

namespace katman {

int run_command_line(int argc, char** argv) try {
  init_log();
  CLI::App app("Katman turns raw web text into a trained GPT: one program, from pages to model.",
               "katman");
  app.require_subcommand(1);
  add_data(app);
  CLI11_PARSE(app, argc, argv);
  return 0;
} catch (const UsageError& error) {
  spdlog::error("{}", error.what());
  return 2;
} catch (const std::exception& error) {
  spdlog::error("{}", error.what());
  return 1;
}

}  // namespace katman
