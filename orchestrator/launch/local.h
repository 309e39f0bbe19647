// Starting a run's ranks on this machine.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "orchestrator/launch/launcher.h"

namespace katman {

// Ranks as processes of this machine, or of several: one by itself, several under mpirun. They form
// a process group of their own and outlive this program; whoever looks after them next finds them
// by the file that they wrote.
class LocalLauncher : public Launcher {
 public:
  // nodes: this machine with its slots; or several that mpirun can reach and that share the run's
  // file system, this one first.
  explicit LocalLauncher(std::vector<Node> nodes);
  std::string name() const override { return "local"; }
  void start(const Job& job) override;
  Sight look(const Job& job) override;
  void kill(const Job& job) override;
  std::vector<Node> nodes(const RunSpec&) const override { return nodes_; }

  // The command that starts all ranks: katman worker, under mpirun where there are several (as root
  // too, and with more ranks than cores).
  virtual std::vector<std::string> command(const Job& job) const;

 private:
  void reap();
  std::vector<Node> nodes_;
  std::set<int> children_;  // that have not been waited for
};

// "gpu1:4,gpu2:4" as nodes. Throws UsageError.
std::vector<Node> parse_nodes(const std::string& text);

// Ranks started by a command that a person gave when the orchestrator was started: whatever else
// there is besides mpirun on this machine and SLURM. The command lives as long as the ranks do, and
// its exit status is theirs. In its words, these are replaced:
//
//   {worker}  the words of katman worker for this run, the same for every rank
//   {ranks} {name} {generation} {directory} {run_file}
//
// No shell reads it. Example: "ssh gpu1 mpirun -n {ranks} {worker}".
class CommandLauncher : public LocalLauncher {
 public:
  // Throws UsageError for a command without {worker}, or with a word in braces that is none.
  explicit CommandLauncher(const std::string& command);
  std::string name() const override { return "command"; }
  std::vector<std::string> command(const Job& job) const override;
  std::vector<Node> nodes(const RunSpec& spec) const override;

 private:
  std::vector<std::string> words_;
};

}  // namespace katman
