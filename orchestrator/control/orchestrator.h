// The orchestrator: Fleet's decisions, made to happen. It owns a data directory, starts and watches
// the processes of runs, and answers people and workers. It may be killed at any moment: runs go
// on, and the next orchestrator on the same directory looks after them again.
#pragma once

#include <atomic>
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

class Orchestrator {
 public:
  // data: katman.db and runs/NAME, made when missing. Throws Error when another orchestrator uses
  // it.
  Orchestrator(std::filesystem::path data, FleetPolicy policy, std::unique_ptr<Launcher> launcher);
  ~Orchestrator();  // leaves the runs running
  Orchestrator(const Orchestrator&) = delete;
  Orchestrator& operator=(const Orchestrator&) = delete;

  // From now on, runs are started and watched; their workers report to `address`.
  void start(const std::string& address);

  // For people. Each throws UsageError for what cannot be. Any thread.
  RunView submit(const SubmitRequest& request);
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
  void launch(const Effects::Target& target);
  std::vector<TimeShare> time_spent(const std::string& run);
  Watched& watched(const std::string& run, uint64_t generation);

  std::filesystem::path data_;
  std::unique_ptr<Lock> lock_;
  CheckpointCatalogue catalogue_;
  std::mutex mutex_;  // of everything below
  Database database_;
  Store store_;
  Series series_;
  Fleet fleet_;
  std::unique_ptr<Launcher> launcher_;
  std::map<std::string, Watched> watched_;
  std::string address_;
  std::atomic<double> looked_at_ = 0;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace katman
