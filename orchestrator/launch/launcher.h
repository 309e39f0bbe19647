// How a run's ranks come to life somewhere, and how one learns what became of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "orchestrator/control/fleet.h"
#include "proto/run.pb.h"

namespace katman {

// One generation of a run. Everything about it lies in files below the run's directory, so that an
// orchestrator that was restarted finds it again.
struct Job {
  RunSpec spec;  // completed; its directory is the run's
  uint64_t generation = 0;
  std::string report_to;  // the orchestrator's HOST:PORT

  // logs/generation-00003 in the run's directory; .log, .job and .exit lie beside each other.
  std::filesystem::path stem() const;
  int ranks() const;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual std::string name() const = 0;
  // Starts all ranks and returns at once. Throws Error when that is not possible.
  virtual void start(const Job& job) = 0;
  // Nothing as long as a process of the job may exist.
  virtual std::optional<Ending> ended(const Job& job) = 0;
  // Ends what there is of the job, now. ended() tells when it is gone.
  virtual void kill(const Job& job) = 0;
};

}  // namespace katman
