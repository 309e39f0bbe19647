// The command line: one file per command, each of which adds itself to the program.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/control/reach.h"

namespace CLI {
class App;
}

namespace katman {

// Parses and runs. Returns the exit status: 0 success, 1 failure, 2 bad usage. Errors are one
// sentence on standard error.
int run_command_line(int argc, char** argv);

// Each adds one subcommand with its options, an example in its help, and what it does.
void add_data(CLI::App& app);
void add_train(CLI::App& app);
void add_finetune(CLI::App& app);
void add_generate(CLI::App& app);
void add_eval(CLI::App& app);
void add_checkpoint(CLI::App& app);
void add_bench(CLI::App& app);
void add_schedule(CLI::App& app);
void add_plan(CLI::App& app);
void add_doctor(CLI::App& app);
void add_worker(CLI::App& app);
void add_orchestrate(CLI::App& app);
void add_submit(CLI::App& app);
void add_runs(CLI::App& app);

// export and import, of katman data.
void add_exchange(CLI::App& data);

// --to HOST:PORT, where the orchestrator is; --token-file and --ca, how to speak to it.
void add_orchestrator_options(CLI::App& command, Reach& reach);

}  // namespace katman
