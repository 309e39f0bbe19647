// What people ask an orchestrator: each request checked, then answered from the store and the runs'
// files, or handed to Fleet.
#include <algorithm>

#include "core/error.h"
#include "orchestrator/control/client.h"
#include "orchestrator/control/clock.h"
#include "orchestrator/control/fork.h"
#include "orchestrator/control/orchestrator.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/control/submission.h"
#include "orchestrator/run_data.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr size_t longest_word = 1 << 10;
constexpr int64_t most_events = 500;
constexpr uint32_t most_log_bytes = 1 << 20;

}  // namespace

RunView Orchestrator::submit(const SubmitRequest& request) {
  require_usage(!request.id().empty() && request.id().size() <= longest_word &&
                    request.actor().size() <= longest_word,
                "a submission needs an id, and its words end after {} bytes", longest_word);
  const RunSpec spec = parse_submission(request, data_);
  const std::lock_guard lock(mutex_);
  if (const auto known = store_.submitted(request.id())) return fleet_.run(*known);
  return enter(spec, request.id(), request.priority(), request.actor());
}

// A new run.
RunView Orchestrator::enter(const RunSpec& spec, const std::string& id, int priority,
                            const std::string& actor) {
  const Job job{.spec = spec};
  RunView run;
  run.set_name(spec.name());
  run.set_ranks(job.ranks());
  run.set_layout(to_string(job.mesh()));
  run.set_priority(priority);
  run.set_steps(spec.steps());
  run.set_directory(spec.directory());
  // Whatever an embedded one's run file says, it was asked to train here.
  run.set_launcher(launcher(options_.embedded ? "" : spec.launch().launcher()).name());
  const Files files;
  const CommitLog log(fs::path(spec.directory()) / "checkpoints", files);
  run.set_logged_generation(log.newest_generation());
  run.set_logged_rollbacks(log.rollbacks());
  if (!log.live().empty()) run.set_committed(static_cast<uint64_t>(log.live().back().step));
  Effects effects = fleet_.submit(run, unix_now(), actor);
  store_.add(spec.name(), id, spec);
  act(std::move(effects));
  act(fleet_.passed(unix_now()));
  return fleet_.run(spec.name());
}

RunView Orchestrator::adopt(const RunSpec& spec, bool terminal) {
  const std::lock_guard lock(mutex_);
  terminal_ = terminal;
  // What was done before, by whom ever, is no news of this start.
  series_.follow_to_the_end(spec.name(), fs::path(spec.directory()) / "metrics.jsonl");
  return enter(spec, new_id(), 0, who_am_i());
}

RunPlan Orchestrator::plan(const SubmitRequest& request) {
  const RunSpec spec = parse_submission(request, data_);
  RunPlan plan;
  plan.set_run_file(to_text(spec));
  const std::lock_guard lock(mutex_);
  const Launcher& starts = launcher(spec.launch().launcher());
  plan.set_launcher(starts.name());
  for (const NodePlan& node : place(Job{.spec = spec}.mesh(), starts.nodes(spec)))
    *plan.add_nodes() = node;
  return plan;
}

RunList Orchestrator::list() {
  const std::lock_guard lock(mutex_);
  RunList list;
  for (const RunView* run : fleet_.runs()) *list.add_runs() = *run;
  list.set_now(unix_now());
  list.set_slots(fleet_.policy().slots);
  return list;
}

RunView Orchestrator::show(const std::string& run) {
  const std::lock_guard lock(mutex_);
  return fleet_.run(run);
}

CommandResult Orchestrator::command(const CommandRequest& request) {
  for (const std::string* word : {&request.id(), &request.actor(), &request.reason()})
    require_usage(word->size() <= longest_word, "the words of a command end after {} bytes",
                  longest_word);
  require_usage(!request.id().empty(), "a command needs an id");
  const std::lock_guard lock(mutex_);
  if (const auto known = store_.result(request.id())) return *known;
  check_command(request);
  act(fleet_.command(request, unix_now()), &request);
  act(fleet_.passed(unix_now()));
  return store_.result(request.id()).value();
}

// What only the run's files can tell: whether a layout fits, and whether a checkpoint exists.
void Orchestrator::check_command(const CommandRequest& request) {
  fleet_.run(request.run());
  if (!request.layout().empty()) {
    RunSpec changed = store_.spec(request.run());
    set_layout(changed, parse_mesh(request.layout()));
    train_config(changed, *open_run_data(changed)).check();
    place(Job{.spec = changed}.mesh(),
          launcher(fleet_.run(request.run()).launcher()).nodes(changed));
  }
  if (request.verb() != ROLL_BACK_RUN || request.step() == 0) return;
  const Files files;
  const CommitLog log(fs::path(fleet_.run(request.run()).directory()) / "checkpoints", files);
  std::string steps;
  bool there = false;
  for (const auto* entries : {&log.live(), &log.discarded()})
    for (const CommitLog::Entry& entry : *entries) {
      steps += fmt::format(" {}", entry.step);
      there = there || static_cast<uint64_t>(entry.step) == request.step();
    }
  require_usage(there, "{} has no checkpoint of step {}; there are those of steps{}, and 0",
                request.run(), request.step(), steps.empty() ? " (none)" : steps);
}

EventList Orchestrator::events(const WatchRequest& request) {
  const std::lock_guard lock(mutex_);
  if (request.after() == 0) return store_.newest_events(request.run(), most_events);
  return store_.events(request.after(), request.run(), most_events);
}

SeriesReply Orchestrator::series(const SeriesRequest& request) {
  require_usage(request.most_points() <= 100'000, "most_points is {}; at most 100000 fit one page",
                request.most_points());
  const std::lock_guard lock(mutex_);
  fleet_.run(request.run());
  return series_.read(request);
}

LogsReply Orchestrator::logs(const LogsRequest& request) {
  const RunView run = show(request.run());
  LogsReply reply;
  reply.set_generation(request.generation() ? request.generation() : run.generation());
  RunSpec spec;
  spec.set_directory(run.directory());
  const Job job{.spec = spec, .generation = reply.generation()};
  const uint32_t most = request.most_bytes() ? request.most_bytes() : 64u << 10;
  reply.set_text(read_log(job.file(".log"), std::min(most, most_log_bytes), request.contains()));
  return reply;
}

std::vector<TimeShare> Orchestrator::time_spent(const std::string& run) {
  const auto seconds = [&](const char* name) { return series_.totals(run, name); };
  const auto both = [&](const char* name) {
    const Series::Totals totals = seconds(name);
    return totals.counting.sum + totals.discarded.sum;
  };
  const Series::Totals steps = seconds("seconds");
  return account(store_.state_changes(run),
                 {.counting_steps = steps.counting.sum,
                  .discarded_steps = steps.discarded.sum,
                  .data = seconds("data_seconds").counting.sum,
                  .saving = both("save_seconds"),
                  .validating = both("validation_seconds") + both("evaluation_seconds")},
                 unix_now());
}

RunSpec Orchestrator::check(const SubmitRequest& request) const {
  return parse_submission(request, data_);
}

RunView Orchestrator::fork(const SubmitRequest& request, const std::string& from, int64_t step) {
  const RunSpec spec = check(request);
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = store_.submitted(request.id())) return fleet_.run(*known);
  }
  begin_from_checkpoint(this->spec(from).directory(), step, spec.directory());
  try {
    return submit(request);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(spec.directory(), ignored);
    throw;
  }
}

RunSpec Orchestrator::spec(const std::string& run) {
  const std::lock_guard lock(mutex_);
  fleet_.run(run);
  return laid_out(run);
}

RunDetails Orchestrator::details(const std::string& run) {
  RunDetails details;
  RunSpec spec;
  {
    const std::lock_guard lock(mutex_);
    *details.mutable_run() = fleet_.run(run);
    spec = laid_out(run);
    add_ranks(fleet_.ranks(run), Job{.spec = spec}.mesh(), details);
    if (details.nodes().empty())
      for (const NodePlan& node :
           place(Job{.spec = spec}.mesh(), launcher(details.run().launcher()).nodes(spec)))
        *details.add_nodes() = node;
    for (const std::string& name : series_.names(run)) details.add_series(name);
    for (const auto& [generation, step] : series_.beginnings(run)) {
      Beginning& beginning = *details.add_generations();
      beginning.set_generation(static_cast<uint64_t>(generation));
      beginning.set_step(static_cast<uint64_t>(step));
    }
    for (TimeShare& share : time_spent(run)) *details.add_time_spent() = std::move(share);
  }
  details.set_run_file(to_text(spec));
  catalogue_.add(spec.directory(), details);
  const fs::path saved = fs::path(spec.directory()) / "checkpoints";
  const std::lock_guard lock(mutex_);
  for (SavedCheckpoint& checkpoint : *details.mutable_checkpoints())
    checkpoint.set_verified(store_.verdict((saved / checkpoint.directory()).string()));
  return details;
}

void Orchestrator::verified(const fs::path& checkpoint, const std::string& verdict) {
  const std::lock_guard lock(mutex_);
  store_.set_verdict(checkpoint.string(), verdict);
}

}  // namespace katman
