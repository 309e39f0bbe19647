// The ranks of `katman train`: children of this process that end with it, and whose words reach its
// terminal.
#pragma once

#include <atomic>
#include <thread>

#include "orchestrator/launch/local.h"

namespace katman {

// What the ranks say goes to this process's standard error and, but for lines that are rewritten,
// to the job's log. One job at a time.
class AttachedLauncher : public LocalLauncher {
 public:
  explicit AttachedLauncher(int slots) : LocalLauncher({{"this machine", slots}}) {}
  ~AttachedLauncher() override;  // ends the ranks

  void start(const Job& job) override;
  Sight look(const Job& job) override;
  void kill(const Job& job) override;

  // Asks the ranks to save and leave. mpirun would end its ranks on SIGTERM and SIGINT; SIGUSR1 it
  // passes on.
  void ask_to_leave();
  // Exit status of the last job.
  int status() const { return status_; }

 private:
  std::atomic<int> child_ = 0;  // leads a process group; 0: there is none
  std::atomic<int> status_ = 0;
  std::thread listener_;
};

}  // namespace katman
