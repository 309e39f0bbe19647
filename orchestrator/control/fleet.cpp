// What happens to runs: reports, endings and time. What people ask for is in fleet_commands.cpp.
#include "orchestrator/control/fleet.h"

#include <algorithm>

#include "core/error.h"

namespace katman {
namespace {

// How often the end of processes that do not go is asked for again.
constexpr double kill_again_s = 5;

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

Effects Fleet::submit(RunView run, double now) {
  require_usage(!has(run.name()), "there is a run '{}' already; choose another name", run.name());
  require_usage(run.ranks() <= policy_.slots,
                "{} needs {} ranks, and this orchestrator has {} slots: choose a smaller mesh, or "
                "start it with --slots={}",
                run.name(), run.ranks(), policy_.slots, run.ranks());
  Effects out;
  Entry& entry = entries_[run.name()];
  entry.view = std::move(run);
  entry.view.set_order(++submissions_);
  note(entry, "submitted", count(static_cast<size_t>(entry.view.ranks()), "rank"), now, out);
  move(entry, RunView::QUEUED, "", now, out);
  return out;
}

Effects Fleet::reported(const WorkerReport& report, double now) {
  Effects out;
  if (!has(report.run())) return out;
  Entry& entry = this->entry(report.run());
  RunView& view = entry.view;
  if (!view.live() || report.generation() != view.generation()) return out;
  entry.heard = true;
  view.set_heard_at(now);
  view.set_slowest_step_s(report.slowest_step_s());
  if (view.phase() != report.phase()) view.set_moved_at(now);
  view.set_phase(report.phase());
  // A worker may start before the step that was promised: the newest checkpoint can be damaged.
  if (view.state() == RunView::STARTING && report.phase() == TRAINING)
    view.set_step(std::min(view.step(), report.step()));
  for (Pending& pending : entry.pending)
    if (pending.request.verb() == CHECKPOINT_NOW && pending.save_step == 0 &&
        report.saves_taken() >= pending.save_number)
      pending.save_step = std::max<uint64_t>(1, report.save_step());
  const Effects more = stepped(report.run(), report.step(), now);
  out.changed = more.changed;
  out.events = more.events;
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
  const std::string reason = view.ending() ? view.why() : ending.how;
  view.set_live(false);
  view.set_ending(false);
  view.set_relaunch(false);
  const std::string at = fmt::format("at step {} of {}", view.committed(), view.steps());
  if (view.committed() >= view.steps()) {
    view.set_step(view.steps());
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
  } else {
    Ending why = ending;
    why.how = reason;
    after_error(entry, why, now, out);
  }
  return out;
}

void Fleet::after_error(Entry& entry, const Ending& ending, double now, Effects& out) {
  RunView& view = entry.view;
  supersede_all(entry, "the processes ended: " + ending.how, now, out);
  if (!view.stepped() && !ending.signalled) {
    move(entry, RunView::FAILED, "before its first step: " + ending.how, now, out);
  } else if (view.fruitless() >= policy_.backoff_s.size()) {
    move(entry, RunView::ATTENTION,
         fmt::format("{} without a newer checkpoint; the last end: {}",
                     count(view.fruitless(), "restart"), ending.how),
         now, out);
  } else {
    const double pause = policy_.backoff_s[view.fruitless()];
    view.set_fruitless(view.fruitless() + 1);
    view.set_restarts(view.restarts() + 1);
    view.set_retry_at(now + pause);
    move(entry, RunView::RECOVERING,
         fmt::format("{}; starts again{} from step {}", ending.how,
                     pause > 0 ? fmt::format(" in {:.0f} s", pause) : "", view.committed()),
         now, out);
  }
}

void Fleet::kill(Entry& entry, const std::string& why, double now, Effects& out) {
  entry.killed_at = now;
  entry.view.set_ending(true);
  out.kills.push_back({entry.view.name(), entry.view.generation()});
  out.changed.push_back(entry.view.name());
  note(entry, "kill", why, now, out);
}

void Fleet::watch(Entry& entry, double now, Effects& out) {
  const RunView& view = entry.view;
  const double still = now - view.moved_at();
  const auto give_up = [&](const std::string& why) {
    if (view.desired() == RunView::RUN && !view.relaunch())
      move(entry, RunView::RECOVERING, why, now, out);
    kill(entry, why, now, out);
  };
  if (view.ending()) {
    if (now - entry.killed_at >= kill_again_s) kill(entry, "again: it is still there", now, out);
  } else if (entry.heard && std::min(now - view.heard_at(), still) > policy_.silent_s) {
    give_up(fmt::format("no word from rank 0 for {:.0f} s", now - view.heard_at()));
  } else if (view.phase() != TRAINING) {
    if (still > policy_.setup_s) give_up(fmt::format("no step for {:.0f} s", still));
  } else if (still > std::max(policy_.hang_floor_s, policy_.hang_factor * view.slowest_step_s())) {
    give_up(fmt::format("no step for {:.0f} s, where the slowest of the last took {:.1f} s", still,
                        view.slowest_step_s()));
  }
}

void Fleet::launch_what_fits(double now, Effects& out) {
  int free = policy_.slots;
  std::vector<Entry*> waiting;
  for (auto& [name, entry] : entries_) {
    const RunView& view = entry.view;
    if (view.live())
      free -= view.ranks();
    else if (view.state() == RunView::QUEUED ||
             (view.state() == RunView::RECOVERING && now >= view.retry_at()))
      waiting.push_back(&entry);
  }
  std::ranges::sort(waiting, {}, [](const Entry* entry) {
    return std::pair(-entry->view.priority(), entry->view.order());
  });
  for (Entry* entry : waiting) {
    RunView& view = entry->view;
    if (view.ranks() > free) return;  // what is behind it waits, or it would wait for ever
    free -= view.ranks();
    view.set_generation(view.generation() + 1);
    view.set_live(true);
    view.set_step(view.committed());
    view.set_phase(SETTING_UP);
    view.set_moved_at(now);
    entry->heard = false;
    move(*entry, RunView::STARTING, fmt::format("from step {}", view.committed()), now, out);
    out.launches.push_back({view.name(), view.generation()});
  }
}

Effects Fleet::passed(double now) {
  Effects out;
  for (auto& [name, entry] : entries_)
    if (entry.view.live()) watch(entry, now, out);
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
