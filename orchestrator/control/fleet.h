// Fleet: what becomes of runs, as a state machine without a clock, a disk or a process. Events come
// in (a command, a report, the end of processes, time passing); what changed, what to write down
// and what to do come out. Everything that can go wrong with many runs over weeks is decided here,
// where a test can try a million orders of events in a second.
//
// What it promises, whatever the order of events:
//   * a run never has two live generations: the next one is launched only after the end of the one
//     before has been reported;
//   * an accepted command ends as done or superseded, never unanswered;
//   * errors do not repeat for ever: after three restarts without a newer checkpoint, the next one
//     holds the run for a person to look; so does an error that a restart cannot help;
//   * nor too often: pauses before restarts are a ladder of 0, 10, 30 and 120 s. An error climbs a
//     rung, a newer checkpoint goes one down again, so that a run which does get on, but breaks
//     more often than it saves, waits ever longer, and one that breaks now and then does not wait;
//   * once a person wants a run stopped or paused, nothing starts it but another command;
//   * after a rollback, nothing is launched until the checkpoints know of it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "proto/control.pb.h"

namespace katman {

struct FleetPolicy {
  int slots = 1;             // ranks that run at the same time, over all runs
  double suspect_s = 6;      // no word from a rank that had spoken, and no step: it is suspected
  double silent_s = 15;      // ...and taken for gone
  double setup_s = 600;      // until the first step; also for saving and validating
  double hang_floor_s = 60;  // a step may always take this long...
  double hang_factor = 5;    // ...or this many times what 99 of the last hundred took
  std::vector<double> backoff_s = {0, 10, 30, 120};  // before a restart, by rung
  uint32_t most_fruitless = 3;                       // restarts in a row without a newer checkpoint
  std::set<std::string> queueing = {"slurm"};        // launchers with slots and queues of their own
};

// How the processes of a generation ended.
struct Ending {
  bool clean = false;        // exit status 0: completed, or saved and left
  bool signalled = false;    // killed from outside, which says nothing about the run file
  bool rolled_back = false;  // left to be started again from an earlier checkpoint
  bool withdrawn = false;    // somebody ended it elsewhere, and will not want it back at once
  bool hopeless = false;     // the training itself went wrong: started again, it would again
  std::string how = {};      // "rank 3: the disk is full"
};

// What an event caused. Written down in one transaction before anything is done.
struct Effects {
  struct Target {
    std::string run;
    uint64_t generation = 0;
  };
  struct Answer {
    std::string id;  // of the command
    CommandResult result;
  };
  std::vector<std::string> changed;  // runs whose record is to be stored
  std::vector<Event> events;         // without seq
  std::vector<Answer> answers;
  std::vector<Target> launches, kills;
  // To be told to the run's checkpoints, and then to rolled_back() or not_rolled_back().
  struct Rollback {
    std::string run;
    uint64_t step = 0;
    std::string why;
  };
  std::vector<Rollback> rollbacks;
};

class Fleet {
 public:
  explicit Fleet(FleetPolicy policy) : policy_(std::move(policy)) {}

  // A run and its unanswered commands as they were stored, before any event. A live run is given
  // time to be heard of again.
  void restore(const RunView& run, const std::vector<CommandRequest>& pending, double now);

  // The events. `now` never goes back. Throw UsageError for a run that does not exist.
  // run: identity, ranks, layout, steps, priority, directory, launcher.
  Effects submit(RunView run, double now, const std::string& actor = {});
  Effects command(const CommandRequest& request, double now);
  Effects reported(const WorkerReport& report, double now);
  Effects stepped(const std::string& run, uint64_t steps_done, double now);
  Effects committed(const std::string& run, uint64_t step, double now);
  // What the launcher calls the job, and whether its processes still wait to be started.
  Effects placed(const std::string& run, uint64_t generation, bool waiting, const std::string& job,
                 double now);
  // The run goes on from this checkpoint: as a command wanted, or as a worker decided.
  Effects rolled_back(const std::string& run, uint64_t step, const std::string& why, double now);
  Effects not_rolled_back(const std::string& run, const std::string& why, double now);
  // The newest generation that the run's checkpoints know: SLURM may have started the job again.
  void logged(const std::string& run, uint64_t generation);
  Effects ended(const std::string& run, uint64_t generation, const Ending& ending, double now);
  Effects passed(double now);  // time

  // What the worker of a generation shall do; an older generation than the newest shall leave.
  WorkerWishes wishes(const std::string& run, uint64_t generation) const;

  bool has(const std::string& run) const { return entries_.contains(run); }
  const RunView& run(const std::string& name) const;
  RunView& figures(const std::string& name);  // for the fields after `phase`, which decide nothing
  std::vector<const RunView*> runs() const;   // in order of submission
  std::vector<RankView> ranks(const std::string& run) const;  // of the newest generation, heard of
  const FleetPolicy& policy() const { return policy_; }

 private:
  struct Pending {
    CommandRequest request;
    uint64_t save_number = 0;  // checkpoint: done when this many have been taken...
    uint64_t save_step = 0;    // ...at this step, and it is committed
  };
  struct Entry {
    RunView view;
    std::vector<Pending> pending;
    double killed_at = 0;
    uint64_t asked = 0;             // requests of an evaluation, by the last word of rank 0
    std::map<int, RankView> ranks;  // of the live generation, as they spoke
  };

  Entry& entry(const std::string& name);
  // Each appends to `out`.
  void move(Entry&, RunView::State, const std::string& why, double now, Effects& out);
  void note(const Entry&, const char* kind, const std::string& text, double now, Effects& out);
  void answer(Entry&, const CommandRequest&, CommandResult::Outcome, const std::string& text,
              double now, Effects& out);
  void answer_pending(Entry&, Verb, CommandResult::Outcome, const std::string&, double, Effects&);
  void supersede_all(Entry&, const std::string& by, double now, Effects& out);
  void kill(Entry&, const std::string& why, double now, Effects& out);
  std::string refusal(const Entry&, const CommandRequest&) const;
  void relayout(Entry&);
  void take(Entry&, const CommandRequest&, double now, Effects& out);
  void after_error(Entry&, const Ending&, double now, Effects& out);
  void watch(Entry&, double now, Effects& out);
  const RankView* quietest(const Entry&) const;
  void suspect(Entry&, double now, Effects& out);
  void roll_back(const Entry&, Effects& out) const;
  int slots_of(const RunView&) const;
  void forgive_pause(double now);
  void launch_what_fits(double now, Effects& out);

  FleetPolicy policy_;
  std::map<std::string, Entry> entries_;
  uint64_t submissions_ = 0;
  double passed_at_ = 0;
};

// "running", "needs attention": for people.
std::string to_string(RunView::State state);
std::string to_string(Verb verb);

}  // namespace katman
