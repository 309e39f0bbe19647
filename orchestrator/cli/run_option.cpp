#include "orchestrator/cli/run_option.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "orchestrator/control/spec.h"

namespace katman {

RunSpec RunOption::read() const {
  RunSpec spec = read_run_file(file);
  for (const std::string& assignment : sets) set_field(spec, assignment);
  return spec;
}

RunSpec RunOption::completed() const {
  RunSpec spec = read();
  complete(spec, name());
  return spec;
}

std::string RunOption::name() const { return std::filesystem::path(file).stem().string(); }

void add_run_option(CLI::App& command, RunOption& option) {
  command.add_option("RUN", option.file, "the run file: protobuf text, proto/run.proto")
      ->required();
  command.add_option("--set", option.sets, "override a field of the run file")
      ->type_name("PATH=VALUE")
      ->expected(1)
      ->take_all();
}

}  // namespace katman
