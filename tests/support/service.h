// An orchestrator as a process, with runs that end within seconds.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "orchestrator/control/client.h"
#include "tests/support/eventually.h"
#include "tests/support/small_run.h"

namespace katman::testing {

// One for a whole test program: its corpus takes a second to build.
const SmallRun& small_run();

// `katman orchestrate` with a directory of its own and, unless it is told otherwise, two slots. Its
// runs are ended with it.
class Service {
 public:
  // options: more words of the command line. reach: what its clients need besides the address.
  explicit Service(const std::string& name, std::vector<std::string> options = {},
                   Reach reach = {});
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Returns when it listens. The second time on the port of the first.
  void start();
  Process& process() { return *process_; }
  Client client() const { return Client(reach_); }
  const Reach& reach() const { return reach_; }
  std::string dashboard() const;  // "http://127.0.0.1:41234"

  void submit(const std::string& name, const std::vector<std::string>& sets = {}) const;
  // Until it is done.
  CommandResult command(const std::string& run, Verb verb) const;
  CommandResult command(CommandRequest request) const;
  RunView wait_for(const std::string& run, RunView::State state, uint64_t step = 0) const;
  // Until a generation above this one runs.
  RunView wait_for_restart(const std::string& run, uint64_t generation) const;

  // The processes of the ranks, in the order of their numbers.
  std::vector<pid_t> workers(const std::string& run) const;
  // Of the run, below small_run()'s own.
  std::string directory(const std::string& run) const;
  std::string log() const;

  template <class Condition>
  void eventually(const std::string& what, Condition condition) const {
    if (!happens(condition)) fail("not within 90 s: {}\n{}", what, log());
  }

 private:
  std::string data_, log_;
  std::vector<std::string> options_;
  Reach reach_;
  int starts_ = 0;
  std::unique_ptr<Process> process_;
};

// The same losses of every step and the same weights, bit for bit. Directories below small_run()'s.
void expect_same_training(const std::string& undisturbed, const std::string& disturbed);
// Of the steps that count, every one once: what the orchestrator knows of this series of a run.
void expect_every_step_once(const Service& service, const std::string& run, uint64_t steps,
                            const std::string& series = "loss");

}  // namespace katman::testing
