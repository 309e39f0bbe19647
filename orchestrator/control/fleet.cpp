// What happens to runs: reports, endings and time. What people ask for is in fleet_commands.cpp,
// what silence means in fleet_watch.cpp.
#include "orchestrator/control/fleet.h"

#include <algorithm>

#include "core/error.h"

namespace katman {
namespace {

std::string count(size_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

}  // namespace

std::string to_string(RunView::State state) {
  static constexpr const char* names[] = {"queued",  "starting",   "running",        "pausing",
                                          "paused",  "recovering", "stopping",       "completed",
                                          "stopped", "failed",     "needs attention"};
  return names[state];
}

Fleet::Entry& Fleet::entry(const std::string& name) {
  const auto found = entries_.find(name);
  require_usage(found != entries_.end(), "there is no run '{}' here; see `katman runs list`", name);
  return found->second;
}

const RunView& Fleet::run(const std::string& name) const {
  return const_cast<Fleet*>(this)->entry(name).view;
}

RunView& Fleet::figures(const std::string& name) { return entry(name).view; }

std::vector<const RunView*> Fleet::runs() const {
  std::vector<const RunView*> all;
  for (const auto& [name, entry] : entries_) all.push_back(&entry.view);
  std::ranges::sort(all, {}, [](const RunView* view) { return view->order(); });
  return all;
}

void Fleet::note(const Entry& entry, const char* kind, const std::string& text, double now,
                 Effects& out) {
  Event& event = out.events.emplace_back();
  event.set_time(now);
  event.set_run(entry.view.name());
  event.set_generation(entry.view.generation());
  event.set_kind(kind);
  event.set_text(text);
}

void Fleet::move(Entry& entry, RunView::State state, const std::string& why, double now,
                 Effects& out) {
  RunView& view = entry.view;
  if (view.state() != state) view.set_since(now);
  view.set_state(state);
  view.set_why(why);
  view.set_version(view.version() + 1);
  out.changed.push_back(view.name());
  note(entry, "state", to_string(state) + (why.empty() ? "" : ": " + why), now, out);
}

void Fleet::restore(const RunView& run, const std::vector<CommandRequest>& pending, double now) {
  Entry& entry = entries_[run.name()];
  entry.view = run;
  entry.view.set_heard_at(now);
  entry.view.set_moved_at(now);
  submissions_ = std::max(submissions_, run.order());
  // A checkpoint that was asked for is asked for again: one too many does no harm.
  for (const CommandRequest& request : pending)
    entry.pending.push_back({request, run.saves_wanted(), 0});
}

Effects Fleet::submit(RunView run, double now, const std::string& actor) {
  require_usage(!has(run.name()), "there is a run '{}' already; choose another name", run.name());
  require_usage(slots_of(run) <= policy_.slots,
                "{} needs {} ranks, and this orchestrator has {} slots: choose a smaller mesh, or "
                "start it with --slots={}",
                run.name(), run.ranks(), policy_.slots, run.ranks());
  Effects out;
  Entry& entry = entries_[run.name()];
  entry.view = std::move(run);
  entry.view.set_order(++submissions_);
  note(entry, "submitted",
       fmt::format("by {}, {}", actor.empty() ? "somebody" : actor,
                   count(static_cast<size_t>(entry.view.ranks()), "rank")),
       now, out);
  move(entry, RunView::QUEUED, "", now, out);
  return out;
}

Effects Fleet::reported(const WorkerReport& report, double now) {
  Effects out;
  if (!has(report.run())) return out;
  Entry& entry = this->entry(report.run());
  RunView& view = entry.view;
  if (!view.live() || report.generation() != view.generation()) return out;
  RankView& rank = entry.ranks[report.rank().rank()];
  rank = report.rank();
  rank.set_heard_at(now);
  if (rank.rank() != 0) return out;
  view.set_heard_at(now);
  view.set_p99_step_s(report.p99_step_s());
  if (view.phase() != report.phase() || entry.asked != report.asked()) view.set_moved_at(now);
  entry.asked = report.asked();
  view.set_phase(report.phase());
  // A worker may start before the step that was promised: the newest checkpoint can be damaged.
  if (view.state() == RunView::STARTING && report.phase() == TRAINING)
    view.set_step(std::min(view.step(), report.step()));
  for (Pending& pending : entry.pending)
    if (pending.request.verb() == CHECKPOINT_NOW && pending.save_step == 0 &&
        report.saves_taken() >= pending.save_number)
      pending.save_step = std::max<uint64_t>(1, report.save_step());
  out = stepped(report.run(), report.step(), now);
  if (report.unsaved() == view.unsaved()) return out;
  view.set_unsaved(report.unsaved());
  out.changed.push_back(report.run());
  if (!report.unsaved().empty()) note(entry, "unsaved", report.unsaved(), now, out);
  return out;
}

Effects Fleet::stepped(const std::string& run, uint64_t steps_done, double now) {
  Effects out;
  Entry& entry = this->entry(run);
  RunView& view = entry.view;
  if (!view.live() || steps_done <= view.step()) return out;
  view.set_step(steps_done);
  view.set_moved_at(now);
  view.set_stepped(true);
  if (view.state() == RunView::STARTING)
    move(entry, RunView::RUNNING, fmt::format("from step {}", view.committed()), now, out);
  return out;
}

Effects Fleet::committed(const std::string& run, uint64_t step, double now) {
  Effects out;
  Entry& entry = this->entry(run);
  RunView& view = entry.view;
  if (step > view.committed()) {
    view.set_committed(step);
    view.set_fruitless(0);
    view.set_rung(view.rung() > 0 ? view.rung() - 1 : 0);
    out.changed.push_back(run);
    note(entry, "checkpoint", fmt::format("after step {}", step), now, out);
  }
  const auto saved = [&](const Pending& pending) {
    return pending.save_step > 0 && view.committed() >= pending.save_step;
  };
  std::vector<Pending> done;
  std::ranges::copy_if(entry.pending, std::back_inserter(done), saved);
  std::erase_if(entry.pending, saved);
  for (const Pending& pending : done)
    answer(entry, pending.request, CommandResult::DONE,
           fmt::format("taken after step {}, and saved", pending.save_step), now, out);
  return out;
}

Effects Fleet::ended(const std::string& run, uint64_t generation, const Ending& ending,
                     double now) {
  Effects out;
  Entry& entry = this->entry(run);
  RunView& view = entry.view;
  if (!view.live() || generation != view.generation()) return out;
  const bool again = view.relaunch();
  Ending seen = ending;
  if (view.ending()) seen.how = view.why();
  view.set_live(false);
  view.set_ending(false);
  view.set_waiting(false);
  view.set_relaunch(false);
  view.clear_suspect();
  entry.ranks.clear();
  relayout(entry);
  const std::string at = fmt::format("at step {} of {}", view.committed(), view.steps());
  if (view.rolling_back()) {
    move(entry, RunView::QUEUED, fmt::format("to go back to step {}", view.roll_back_to()), now,
         out);
    roll_back(entry, out);
  } else if (view.committed() >= view.steps()) {
    view.set_step(view.steps());
    view.clear_unsaved();
    move(entry, RunView::COMPLETED, "", now, out);
    supersede_all(entry, "the run was completed", now, out);
  } else if (view.desired() == RunView::STOP) {
    move(entry, RunView::STOPPED, at, now, out);
    answer_pending(entry, STOP_RUN, CommandResult::DONE, "stopped " + at, now, out);
    answer_pending(entry, KILL_RUN, CommandResult::DONE, "ended; it can resume " + at, now, out);
    supersede_all(entry, "the run was stopped", now, out);
  } else if (view.desired() == RunView::PAUSE) {
    move(entry, RunView::PAUSED, at, now, out);
    answer_pending(entry, PAUSE_RUN, CommandResult::DONE, "paused " + at, now, out);
    supersede_all(entry, "the run was paused", now, out);
  } else if (again) {
    move(entry, RunView::QUEUED, "to start again " + at, now, out);
    answer_pending(entry, RESTART_RUN, CommandResult::DONE, "starts again " + at, now, out);
    answer_pending(entry, RESUME_RUN, CommandResult::DONE, "starts again " + at, now, out);
    supersede_all(entry, "the run starts again", now, out);
  } else if (ending.rolled_back) {
    move(entry, RunView::QUEUED, ending.how, now, out);
    supersede_all(entry, "the run was rolled back", now, out);
  } else {
    after_error(entry, seen, now, out);
  }
  return out;
}

void Fleet::after_error(Entry& entry, const Ending& ending, double now, Effects& out) {
  RunView& view = entry.view;
  supersede_all(entry, "the processes ended: " + ending.how, now, out);
  if (ending.withdrawn) {
    move(entry, RunView::ATTENTION, ending.how + "; resume to go on", now, out);
  } else if (!view.stepped() && !ending.signalled) {
    move(entry, RunView::FAILED, "before its first step: " + ending.how, now, out);
  } else if (ending.hopeless) {
    move(entry, RunView::ATTENTION, ending.how, now, out);
  } else if (view.fruitless() >= policy_.most_fruitless) {
    move(entry, RunView::ATTENTION,
         fmt::format("{} without a newer checkpoint; the last end: {}",
                     count(view.fruitless(), "restart"), ending.how),
         now, out);
  } else {
    const auto highest = static_cast<uint32_t>(policy_.backoff_s.size() - 1);
    const double pause = policy_.backoff_s[std::min(view.rung(), highest)];
    view.set_rung(std::min(view.rung() + 1, highest));
    view.set_fruitless(view.fruitless() + 1);
    view.set_restarts(view.restarts() + 1);
    view.set_retry_at(now + pause);
    move(entry, RunView::RECOVERING,
         fmt::format("{}; starts again{} from step {}", ending.how,
                     pause > 0 ? fmt::format(" in {:.0f} s", pause) : "", view.committed()),
         now, out);
  }
}

Effects Fleet::placed(const std::string& run, uint64_t generation, bool waiting,
                      const std::string& job, double now) {
  Effects out;
  Entry& entry = this->entry(run);
  RunView& view = entry.view;
  if (!view.live() || generation != view.generation()) return out;
  if (waiting) view.set_moved_at(now);  // nobody can step there
  if (view.job() == job && view.waiting() == waiting) return out;
  if (view.waiting() != waiting) view.set_moved_at(now);
  view.set_job(job);
  view.set_waiting(waiting);
  out.changed.push_back(run);
  if (!waiting) return out;
  entry.ranks.clear();
  view.set_phase(SETTING_UP);
  if (view.state() == RunView::RUNNING || view.state() == RunView::STARTING)
    move(entry, RunView::STARTING, job, now, out);
  return out;
}

void Fleet::roll_back(const Entry& entry, Effects& out) const {
  const RunView& view = entry.view;
  std::string why = "asked to";
  for (const Pending& pending : entry.pending)
    if (pending.request.verb() == ROLL_BACK_RUN)
      why = fmt::format("by {}{}", pending.request.actor(),
                        pending.request.reason().empty() ? "" : ": " + pending.request.reason());
  out.rollbacks.push_back({view.name(), view.roll_back_to(), why});
}

Effects Fleet::rolled_back(const std::string& run, uint64_t step, const std::string& why,
                           double now) {
  Effects out;
  Entry& entry = this->entry(run);
  RunView& view = entry.view;
  view.set_committed(step);
  view.set_step(std::min(view.step(), step));
  out.changed.push_back(run);
  note(entry, "rollback", fmt::format("to step {}: {}", step, why), now, out);
  // A worker may go back by itself while a command wants to go further.
  if (!view.rolling_back() || step != view.roll_back_to()) return out;
  view.set_rolling_back(false);
  answer_pending(entry, ROLL_BACK_RUN, CommandResult::DONE,
                 fmt::format("goes on from step {}", step), now, out);
  supersede_all(entry, "the run was rolled back", now, out);
  return out;
}

Effects Fleet::not_rolled_back(const std::string& run, const std::string& why, double now) {
  Effects out;
  Entry& entry = this->entry(run);
  entry.view.set_rolling_back(false);
  move(entry, RunView::ATTENTION, "not rolled back: " + why, now, out);
  supersede_all(entry, "not rolled back: " + why, now, out);
  return out;
}

void Fleet::logged(const std::string& run, uint64_t generation) {
  RunView& view = entry(run).view;
  view.set_logged_generation(std::max(view.logged_generation(), generation));
}

int Fleet::slots_of(const RunView& view) const {
  return policy_.queueing.contains(view.launcher()) ? 0 : view.ranks();
}

std::vector<RankView> Fleet::ranks(const std::string& run) const {
  std::vector<RankView> ranks;
  for (const auto& [number, rank] : const_cast<Fleet*>(this)->entry(run).ranks)
    ranks.push_back(rank);
  return ranks;
}

void Fleet::launch_what_fits(double now, Effects& out) {
  int free = policy_.slots;
  std::vector<Entry*> waiting;
  for (auto& [name, entry] : entries_) {
    const RunView& view = entry.view;
    if (view.live())
      free -= slots_of(view);
    else if (!view.rolling_back() &&
             (view.state() == RunView::QUEUED ||
              (view.state() == RunView::RECOVERING && now >= view.retry_at())))
      waiting.push_back(&entry);
  }
  std::ranges::sort(waiting, {}, [](const Entry* entry) {
    return std::pair(-entry->view.priority(), entry->view.order());
  });
  bool full = false;  // what is behind a run that does not fit waits, or that would wait for ever
  for (Entry* entry : waiting) {
    RunView& view = entry->view;
    full = full || slots_of(view) > free;
    if (full && slots_of(view) > 0) continue;
    free -= slots_of(view);
    view.set_generation(std::max(view.generation(), view.logged_generation()) + 1);
    view.set_live(true);
    view.set_waiting(false);
    view.clear_job();
    view.clear_unsaved();
    view.set_step(view.committed());
    view.set_phase(SETTING_UP);
    view.set_moved_at(now);
    entry->ranks.clear();
    move(*entry, RunView::STARTING, fmt::format("from step {}", view.committed()), now, out);
    out.launches.push_back({view.name(), view.generation()});
  }
}

Effects Fleet::passed(double now) {
  Effects out;
  forgive_pause(now);
  for (auto& [name, entry] : entries_) {
    if (entry.view.live())
      watch(entry, now, out);
    else if (entry.view.rolling_back())
      roll_back(entry, out);
  }
  launch_what_fits(now, out);
  return out;
}

WorkerWishes Fleet::wishes(const std::string& run, uint64_t generation) const {
  WorkerWishes wishes;
  const auto found = entries_.find(run);
  if (found == entries_.end()) return wishes;
  const RunView& view = found->second.view;
  wishes.set_stop(generation < view.generation() || view.desired() != RunView::RUN ||
                  view.relaunch());
  for (const Pending& pending : found->second.pending)
    if (pending.request.verb() == CHECKPOINT_NOW)
      wishes.set_saves_wanted(std::max(wishes.saves_wanted(), pending.save_number));
  return wishes;
}

}  // namespace katman
