// Starting a run's ranks on this machine.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "orchestrator/launch/launcher.h"
#include "orchestrator/worker.h"
#include "proto/run.pb.h"

namespace katman {

// Runs a completed spec here: one rank in this process, several as processes under mpirun (as root
// too, and with more ranks than cores). Returns when the run has ended.
Outcome run_here(const RunSpec& spec);

// The command that starts all ranks of a run here: katman worker, under mpirun where there are
// several. Options of katman worker may follow.
std::vector<std::string> launch_command(const RunSpec& spec, const std::string& run_file);

// Ranks as processes of this machine: one by itself, several under mpirun. They form a process
// group of their own and outlive this program; whoever looks after them next finds them by the file
// that they wrote.
class LocalLauncher : public Launcher {
 public:
  std::string name() const override { return "local"; }
  void start(const Job& job) override;
  std::optional<Ending> ended(const Job& job) override;
  void kill(const Job& job) override;

 private:
  void reap();
  std::set<int> children_;  // that have not been waited for
};

}  // namespace katman
