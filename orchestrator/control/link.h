// A rank's line to the orchestrator. A thread of its own says how things stand and hears what is
// wished; training only leaves numbers and picks up wishes, and never waits. When nobody answers,
// training goes on and the thread tries again: nothing but the wishes is missed, since the figures
// of every step lie in metrics.jsonl. While the rank stands still, the thread still speaks, and
// says what for.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "orchestrator/control/reach.h"
#include "parallel/comm/observed.h"
#include "parallel/vote.h"
#include "proto/control.pb.h"

namespace katman {

// The durations of the last two hundred steps.
class RecentSteps {
 public:
  void add(double seconds);
  double p99() const;  // 99 of 100 took at most this; 0 when there are none

 private:
  std::vector<double> seconds_;  // a ring, once it is full
  size_t next_ = 0;
};

class Link {
 public:
  // run, generation, rank: which worker this is. Rank 0 speaks often, for it hears the wishes; the
  // others only say that they live. `waiting` outlives this.
  Link(const Reach& reach, const std::string& run, uint64_t generation, int rank,
       const Waiting& waiting);
  ~Link();  // says once more how things stand, if somebody listens
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // What the worker is at now, after this many steps of the run.
  void at(Phase phase, int64_t steps_done);
  // So many requests of an evaluation are answered: it does not stand still.
  void asked(int64_t requests);
  // A step took this long, and of that it waited for others.
  void took(double seconds, double waited_s);
  // What the orchestrator would like to happen after the next step.
  Wishes wishes();
  // A checkpoint after this many steps was taken: it answers all saves that wishes() has told.
  void saved(int64_t steps_done);
  // Why the newest save came to nothing; empty: it did not.
  void unsaved(const std::string& why);

 private:
  void talk();
  WorkerReport report();

  const Reach reach_;
  const Waiting& waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  WorkerReport report_;
  WorkerWishes wished_;
  uint64_t saves_told_ = 0;
  RecentSteps recent_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace katman
