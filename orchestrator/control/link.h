// Rank 0's line to the orchestrator. A thread of its own says how things stand and hears what is
// wished; training only leaves numbers and picks up wishes, and never waits. When nobody answers,
// training goes on and the thread tries again: nothing but the wishes is missed, since the figures
// of every step lie in metrics.jsonl.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "parallel/vote.h"
#include "proto/control.pb.h"

namespace katman {

class Link {
 public:
  // address: HOST:PORT. run, generation: which worker this is.
  Link(const std::string& address, const std::string& run, uint64_t generation);
  ~Link();  // says once more how things stand, if somebody listens
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // What the worker is at now, after this many steps of the run.
  void at(Phase phase, int64_t steps_done);
  // A step took this long.
  void took(double seconds);
  // What the orchestrator would like to happen after the next step.
  Wishes wishes();
  // A checkpoint after this many steps was taken: it answers all saves that wishes() has told.
  void saved(int64_t steps_done);

 private:
  void talk();

  const std::string address_;
  std::mutex mutex_;
  std::condition_variable changed_;
  WorkerReport report_;
  WorkerWishes wished_;
  uint64_t saves_told_ = 0;
  double decaying_slowest_s_ = 0;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace katman
