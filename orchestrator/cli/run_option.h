// The run file of a command line, with what it overrides there.
#pragma once

#include <string>
#include <vector>

#include "proto/run.pb.h"

namespace CLI {
class App;
}

namespace katman {

struct RunOption {
  std::string file;
  std::vector<std::string> sets = {};

  // As it was given. Throws UsageError for what is no run file and no field of one.
  RunSpec read() const;
  // Completed: named after its file unless it says otherwise.
  RunSpec completed() const;
  std::string name() const;  // of the file, without what it ends with
};

// RUN and --set PATH=VALUE.
void add_run_option(CLI::App& command, RunOption& option);

}  // namespace katman
