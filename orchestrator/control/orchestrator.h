// The orchestrator: Fleet's decisions, made to happen. It owns a data directory, starts and watches
// the processes of runs, and answers people and workers. It may be killed at any moment: runs go
// on, and the next orchestrator on the same directory looks after them again.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "orchestrator/control/fleet.h"
#include "orchestrator/control/run_files.h"
#include "orchestrator/control/series.h"
#include "orchestrator/control/store.h"
#include "orchestrator/launch/launcher.h"
#include "parallel/checkpoint/commit_log.h"

namespace katman {

struct OrchestratorOptions {
  std::filesystem::path data;  // katman.db and runs/NAME, made when missing
  FleetPolicy policy;
  std::chrono::milliseconds look_every{200};  // at the runs
  bool embedded = false;  // for one run of this process: no other is taken up, and what happens to
                          // it is said only when it is unusual
};

class Orchestrator {
 public:
  // The first launcher is that of runs which do not name one. Throws Error when another
  // orchestrator uses the directory.
  Orchestrator(OrchestratorOptions options, std::vector<std::unique_ptr<Launcher>> launchers);
  ~Orchestrator();  // leaves the runs running
  Orchestrator(const Orchestrator&) = delete;
  Orchestrator& operator=(const Orchestrator&) = delete;

  // From now on, runs are started and watched; their workers report to `reach`.
  void start(const Reach& reach);
  // The one run of an embedded orchestrator: a completed spec with a directory of its own, whatever
  // was done of it before. Throws UsageError as submit() does.
  RunView adopt(const RunSpec& spec, bool terminal);

  // For people. Each throws UsageError for what cannot be. Any thread.
  RunView submit(const SubmitRequest& request);
  RunPlan plan(const SubmitRequest& request);
  RunList list();
  RunView show(const std::string& run);
  CommandResult command(const CommandRequest& request);
  EventList events(const WatchRequest& request);
  SeriesReply series(const SeriesRequest& request);
  LogsReply logs(const LogsRequest& request);
  RunDetails details(const std::string& run);
  // The spec that a submission would run with, every default filled in; throws what is wrong with
  // it. Nothing is submitted.
  RunSpec check(const SubmitRequest& request) const;
  RunSpec spec(const std::string& run);
  // Submits a run that begins with the checkpoint that another has of `step`.
  RunView fork(const SubmitRequest& request, const std::string& from, int64_t step);
  // What came of reading a checkpoint back, for details() and for whoever comes after a restart.
  void verified(const std::filesystem::path& checkpoint, const std::string& verdict);
  // Since the thread last saw to its runs.
  double seconds_since_it_looked() const;

  // For workers. Any thread.
  WorkerWishes report(const WorkerReport& report);

 private:
  class Lock;
  struct Watched {  // a run with live processes
    explicit Watched(const Job& job);
    Job job;
    Files files;
    CommitLog log;
  };
  void look();  // the thread
  void look_once();
  void look_at(Watched& watched);
  void act(Effects effects, const CommandRequest* command = nullptr);
  void say(const Event& event) const;
  void launch(const Effects::Target& target);
  std::vector<TimeShare> time_spent(const std::string& run);
  void roll_back(const Effects::Rollback& rollback);
  Watched& watched(const std::string& run, uint64_t generation);
  Launcher& launcher(const std::string& name);
  RunSpec laid_out(const std::string& run);  // its spec, with the layout of today
  RunView enter(const RunSpec& spec, const std::string& id, int priority, const std::string& actor);
  void check_command(const CommandRequest& request);

  const OrchestratorOptions options_;
  std::filesystem::path data_;
  std::unique_ptr<Lock> lock_;
  CheckpointCatalogue catalogue_;
  std::mutex mutex_;  // of everything below
  Database database_;
  Store store_;
  Series series_;
  Fleet fleet_;
  std::vector<std::unique_ptr<Launcher>> launchers_;
  std::map<std::string, Watched> watched_;
  Reach reach_;
  bool terminal_ = false;
  std::atomic<double> looked_at_ = 0;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace katman
