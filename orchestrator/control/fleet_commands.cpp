// What people ask of runs.
#include <algorithm>

#include "core/error.h"
#include "orchestrator/control/fleet.h"
#include "parallel/mesh.h"

namespace katman {
namespace {

bool is_one_of(RunView::State state, std::initializer_list<RunView::State> states) {
  return std::ranges::find(states, state) != states.end();
}

}  // namespace

std::string to_string(Verb verb) {
  static constexpr const char* names[] = {"nothing", "pause", "resume",  "checkpoint",
                                          "stop",    "kill",  "restart", "rollback"};
  return names[verb];
}

void Fleet::answer(Entry& entry, const CommandRequest& request, CommandResult::Outcome outcome,
                   const std::string& text, double now, Effects& out) {
  CommandResult result;
  result.set_outcome(outcome);
  result.set_text(text);
  *result.mutable_run() = entry.view;
  out.answers.push_back({request.id(), result});
  note(entry, "result", fmt::format("{}: {}", to_string(request.verb()), text), now, out);
}

void Fleet::answer_pending(Entry& entry, Verb verb, CommandResult::Outcome outcome,
                           const std::string& text, double now, Effects& out) {
  const auto asked = [&](const Pending& pending) { return pending.request.verb() == verb; };
  std::vector<Pending> answered;
  std::ranges::copy_if(entry.pending, std::back_inserter(answered), asked);
  std::erase_if(entry.pending, asked);
  for (const Pending& pending : answered) answer(entry, pending.request, outcome, text, now, out);
}

void Fleet::supersede_all(Entry& entry, const std::string& by, double now, Effects& out) {
  for (const Verb verb :
       {PAUSE_RUN, RESUME_RUN, CHECKPOINT_NOW, STOP_RUN, KILL_RUN, RESTART_RUN, ROLL_BACK_RUN})
    answer_pending(entry, verb, CommandResult::SUPERSEDED, by, now, out);
}

// Empty when the command can be taken.
std::string Fleet::refusal(const Entry& entry, const CommandRequest& request) const {
  const RunView& view = entry.view;
  if (request.expected_version() != 0 && request.expected_version() != view.version())
    return fmt::format("the run has changed in the meantime: it is {} now",
                       to_string(view.state()));
  if (view.state() == RunView::COMPLETED && request.verb() != ROLL_BACK_RUN)
    return "the run is completed";
  if (request.verb() == CHECKPOINT_NOW &&
      !is_one_of(view.state(), {RunView::STARTING, RunView::RUNNING}))
    return fmt::format("only a running run can save; this one is {}", to_string(view.state()));
  if (request.verb() == PAUSE_RUN &&
      is_one_of(view.state(), {RunView::STOPPING, RunView::STOPPED, RunView::FAILED}))
    return fmt::format("the run is {}", to_string(view.state()));
  return {};
}

Effects Fleet::command(const CommandRequest& request, double now) {
  require_usage(request.verb() != NO_VERB && Verb_IsValid(request.verb()),
                "this command is none of pause, resume, checkpoint, stop, kill, restart, rollback");
  const bool starts = request.verb() == RESUME_RUN || request.verb() == RESTART_RUN ||
                      request.verb() == ROLL_BACK_RUN;
  require_usage(request.layout().empty() || starts,
                "a layout goes with resume, restart or rollback: {} does not start the run",
                to_string(request.verb()));
  Effects out;
  Entry& entry = this->entry(request.run());
  note(entry, "command",
       fmt::format("{} by {}{}", to_string(request.verb()),
                   request.actor().empty() ? "somebody" : request.actor(),
                   request.reason().empty() ? "" : ": " + request.reason()),
       now, out);
  const std::string refused = refusal(entry, request);
  if (refused.empty())
    take(entry, request, now, out);
  else
    answer(entry, request, CommandResult::REFUSED, refused, now, out);
  return out;
}

// A layout that was asked for, once no process of the earlier one is left. Whether it works, its
// first step has to show.
void Fleet::relayout(Entry& entry) {
  RunView& view = entry.view;
  if (view.next_layout().empty() || view.next_layout() == view.layout()) return;
  view.set_layout(view.next_layout());
  view.set_ranks(parse_mesh(view.layout()).size());
  view.set_stepped(false);
  view.clear_next_layout();
}

void Fleet::take(Entry& entry, const CommandRequest& request, double now, Effects& out) {
  RunView& view = entry.view;
  const Verb verb = request.verb();
  const std::string by = "a later command: " + to_string(verb);
  const auto wait = [&] { entry.pending.push_back({request, view.saves_wanted(), 0}); };
  const auto done = [&](const std::string& text) {
    answer(entry, request, CommandResult::DONE, text, now, out);
  };
  if (verb == CHECKPOINT_NOW) {
    view.set_saves_wanted(view.saves_wanted() + 1);
    out.changed.push_back(view.name());
    return wait();
  }
  const bool going =
      is_one_of(view.state(), {RunView::QUEUED, RunView::STARTING, RunView::RUNNING});
  if (verb == RESUME_RUN && going && view.desired() == RunView::RUN && !view.rolling_back() &&
      request.layout().empty())
    return done("it is " + to_string(view.state()) + " already");
  // Checkpoints that are still to come do not contradict anything but a kill.
  for (const Verb earlier : {PAUSE_RUN, RESUME_RUN, STOP_RUN, KILL_RUN, RESTART_RUN, ROLL_BACK_RUN})
    answer_pending(entry, earlier, CommandResult::SUPERSEDED, by, now, out);

  const bool leave = verb == STOP_RUN || verb == KILL_RUN || verb == PAUSE_RUN;
  view.set_desired(verb == PAUSE_RUN ? RunView::PAUSE : leave ? RunView::STOP : RunView::RUN);
  view.set_relaunch(view.live() && !leave);
  if (!leave) {
    view.set_fruitless(0);
    view.set_rung(0);
  }
  view.set_rolling_back(verb == ROLL_BACK_RUN);
  view.set_roll_back_to(request.step());
  view.set_next_layout(leave || request.layout().empty() ? ""
                                                         : to_string(parse_mesh(request.layout())));
  if (view.live()) {
    const auto state = verb == PAUSE_RUN ? RunView::PAUSING : RunView::STOPPING;
    const std::string why = "asked to " + to_string(verb);
    move(entry, state, why, now, out);
    if (verb == KILL_RUN || verb == ROLL_BACK_RUN) kill(entry, why, now, out);
    return wait();
  }
  relayout(entry);
  if (verb == ROLL_BACK_RUN) {
    move(entry, RunView::QUEUED, fmt::format("to go back to step {}", request.step()), now, out);
    wait();
    return roll_back(entry, out);
  }
  const auto state = verb == PAUSE_RUN ? RunView::PAUSED
                     : leave           ? RunView::STOPPED
                                       : RunView::QUEUED;
  move(entry, state, "asked to " + to_string(verb), now, out);
  done("the run is " + to_string(state));
}

}  // namespace katman
