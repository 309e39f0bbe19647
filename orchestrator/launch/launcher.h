// How a run's ranks come to life somewhere, and how one learns what became of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/control/fleet.h"
#include "orchestrator/control/reach.h"
#include "orchestrator/launch/placement.h"
#include "proto/run.pb.h"

namespace katman {

// One generation of a run. Everything about it lies in files below the run's directory, so that an
// orchestrator that was restarted finds it again.
struct Job {
  RunSpec spec = {};  // completed; its directory is the run's
  uint64_t generation = 0;
  Reach report_to = {};   // the orchestrator
  bool terminal = false;  // what the ranks say ends at one

  // logs/generation-00003 in the run's directory. Beside each other lie .textproto (the run file of
  // this start), .log (what the ranks said), .job (who they are) and .exit (how they ended).
  std::filesystem::path stem() const;
  std::filesystem::path file(const char* extension) const;
  Mesh mesh() const;
  int ranks() const { return mesh().size(); }
  // The words of `katman worker` for this job, every rank the same.
  std::vector<std::string> worker_command(int threads) const;
  // Makes logs/ and writes the run file.
  void write_run_file() const;
};

// What a launcher can tell of a job. What it cannot see is unknown, not gone.
struct Sight {
  enum class Is { unknown, waiting, running, ended };
  Is is = Is::unknown;
  std::string job =
      {};  // what the launcher calls it, and what it waits for: "SLURM job 17: Priority"
  Ending ending = {};  // when ended
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual std::string name() const = 0;
  // Starts all ranks and returns at once. Throws Error when that is not possible.
  virtual void start(const Job& job) = 0;
  // At once, too: what was seen last. Ended means that no process of the job exists any more.
  virtual Sight look(const Job& job) = 0;
  // Ends what there is of the job, now. look() tells when it is gone.
  virtual void kill(const Job& job) = 0;
  // Where the ranks would go, for placement. Names are made up where they are not known before.
  virtual std::vector<Node> nodes(const RunSpec& spec) const = 0;
};

// How ranks ended, by their exit status (of a shell: 128 + the signal) and their last words.
Ending describe_exit(int status, const std::filesystem::path& log);

// A copy of `words` for exec.
std::vector<char*> argv_of(std::vector<std::string>& words);
// How many cores each of `ranks` on this machine may use.
int threads_here(int ranks);

}  // namespace katman
