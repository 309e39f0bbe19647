#include "orchestrator/control/orchestrator.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <set>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/client.h"
#include "orchestrator/control/fork.h"
#include "orchestrator/control/run_files.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/run_data.h"
#include "parallel/pipeline/schedule.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr size_t longest_run_file = 64 << 10, longest_word = 1 << 10;
constexpr int64_t most_events = 500;
constexpr uint32_t most_log_bytes = 1 << 20;

double unix_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

fs::path made(const fs::path& directory) {
  const Files files;
  files.make_directory(directory / "runs");
  return fs::absolute(directory);
}

// A submitted run may name what it reads, never where it writes.
RunSpec parse_submission(const SubmitRequest& request, const fs::path& data) {
  require_usage(request.run_file().size() <= longest_run_file,
                "the run file has {} bytes; {} are allowed", request.run_file().size(),
                longest_run_file);
  RunSpec spec = parse_run_spec(request.run_file(), "the run file");
  require_usage(!spec.name().empty(), "the run file does not name the run: set name");
  require_usage(spec.directory().empty(),
                "leave directory out of the run file: the orchestrator gives every run its own");
  require_usage(!spec.mesh().schedule().starts_with("file:"),
                "mesh.schedule is '{}': a submitted run cannot name files of this machine but its "
                "corpus; use {}",
                spec.mesh().schedule(), fmt::join(schedule_kinds, ", "));
  complete(spec, "");
  spec.set_directory((data / "runs" / spec.name()).string());
  train_config(spec, *open_run_data(spec)).check();  // the data is there, and fits
  return spec;
}

}  // namespace

// Held as long as this lives, by this process only.
class Orchestrator::Lock {
 public:
  explicit Lock(const fs::path& file)
      : file_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    require(file_ >= 0, "cannot open {}", file.string());
    if (flock(file_, LOCK_EX | LOCK_NB) == 0) return;
    close(file_);
    fail("another orchestrator uses {}; end it first, or choose another directory with --data",
         file.parent_path().string());
  }
  ~Lock() { close(file_); }

 private:
  int file_;
};

Orchestrator::Watched::Watched(const Job& job)
    : job(job), log(fs::path(job.spec.directory()) / "checkpoints", files) {}

Orchestrator::Orchestrator(OrchestratorOptions options,
                           std::vector<std::unique_ptr<Launcher>> launchers)
    : options_(std::move(options)),
      data_(made(options_.data)),
      lock_(std::make_unique<Lock>(data_ / "lock")),
      database_(data_ / "katman.db"),
      store_(database_),
      series_(database_),
      fleet_(options_.policy),
      launchers_(std::move(launchers)) {
  if (options_.embedded) return;
  for (const RunView& run : store_.runs())
    fleet_.restore(run, store_.pending(run.name()), unix_now());
}

Orchestrator::~Orchestrator() {
  over_ = true;
  if (thread_.joinable()) thread_.join();
}

void Orchestrator::start(const Reach& reach) {
  reach_ = reach;
  thread_ = std::thread([this] { look(); });
}

Launcher& Orchestrator::launcher(const std::string& name) {
  for (const auto& launcher : launchers_)
    if (name.empty() || launcher->name() == name) return *launcher;
  std::string names;
  for (const auto& launcher : launchers_) names += (names.empty() ? "" : ", ") + launcher->name();
  throw UsageError(fmt::format(
      "launch.launcher is '{}', which this orchestrator was not started with; it has {}", name,
      names));
}

RunSpec Orchestrator::laid_out(const std::string& run) {
  RunSpec spec = store_.spec(run);
  const std::string& layout = fleet_.run(run).layout();
  if (!layout.empty()) set_layout(spec, parse_mesh(layout));
  return spec;
}

Orchestrator::Watched& Orchestrator::watched(const std::string& run, uint64_t generation) {
  const auto found = watched_.find(run);
  if (found != watched_.end() && found->second.job.generation == generation) return found->second;
  watched_.erase(run);
  const Job job{laid_out(run), generation, reach_, terminal_};
  return watched_.try_emplace(run, job).first->second;
}

void Orchestrator::say(const Event& event) const {
  static const std::set<std::string> unusual = {"kill", "rollback", "suspect"};
  auto level = spdlog::level::info;
  if (options_.embedded)
    level = unusual.contains(event.kind()) || event.text().starts_with("recovering")
                ? spdlog::level::warn
                : spdlog::level::debug;
  spdlog::log(level, "{}: {}{}", event.run(), event.kind() == "state" ? "" : event.kind() + ": ",
              event.text());
}

// Written down first, done then: what was started is known to whoever comes after a crash.
void Orchestrator::act(Effects effects, const CommandRequest* command) {
  store_.write(effects, fleet_, command);
  for (const Event& event : effects.events) say(event);
  for (const Effects::Target& target : effects.kills)
    launcher(fleet_.run(target.run).launcher()).kill(watched(target.run, target.generation).job);
  for (const Effects::Rollback& rollback : effects.rollbacks) roll_back(rollback);
  for (const Effects::Target& target : effects.launches) launch(target);
}

void Orchestrator::launch(const Effects::Target& target) try {
  launcher(fleet_.run(target.run).launcher()).start(watched(target.run, target.generation).job);
} catch (const Error& error) {
  act(fleet_.ended(target.run, target.generation, {.how = error.what()}, unix_now()));
}

// The run's processes are gone, so this process may write to its commit log.
void Orchestrator::roll_back(const Effects::Rollback& rollback) try {
  const Files files;
  CommitLog log(fs::path(fleet_.run(rollback.run).directory()) / "checkpoints", files);
  std::string directory;
  for (const auto* entries : {&log.discarded(), &log.live()})
    for (const CommitLog::Entry& entry : *entries)
      if (static_cast<uint64_t>(entry.step) == rollback.step) directory = entry.directory;
  require(!directory.empty() || rollback.step == 0, "the checkpoint of step {} is gone",
          rollback.step);
  if (!log.empty()) log.roll_back(log.newest_generation(), directory, rollback.why, {});
  act(fleet_.rolled_back(rollback.run, rollback.step, rollback.why, unix_now()));
} catch (const Error& error) {
  act(fleet_.not_rolled_back(rollback.run, error.what(), unix_now()));
}

void Orchestrator::look() {
  while (!over_) {
    try {
      const std::lock_guard lock(mutex_);
      look_once();
      looked_at_ = unix_now();
    } catch (const std::exception& error) {
      spdlog::error("{}", error.what());  // a full disk, say: it may have room again later
    }
    std::this_thread::sleep_for(options_.look_every);
  }
}

void Orchestrator::look_once() {
  std::vector<std::pair<std::string, uint64_t>> live;
  for (const RunView* run : fleet_.runs())
    if (run->live()) live.emplace_back(run->name(), run->generation());
  for (const auto& [run, generation] : live) look_at(watched(run, generation));
  act(fleet_.passed(unix_now()));
}

// The end is asked for before the files are read: what they say then is all there will be.
void Orchestrator::look_at(Watched& watched) {
  const std::string run = watched.job.spec.name();
  const uint64_t generation = watched.job.generation;
  const Sight sight = launcher(fleet_.run(run).launcher()).look(watched.job);
  const auto news = series_.follow(run, fs::path(watched.job.spec.directory()) / "metrics.jsonl");
  RunView& view = fleet_.figures(run);
  for (const auto& [name, value] : news.newest) {
    if (name == "loss") view.set_loss(value);
    if (name == "validation_loss") view.set_validation_loss(value);
    if (name == "tokens_per_s") view.set_tokens_per_s(value);
    if (name == "utilisation") view.set_utilisation(value);
    if (name == "tokens") view.set_tokens(value * static_cast<double>(news.steps_done));
  }
  act(fleet_.stepped(run, news.steps_done, unix_now()));
  watched.log.refresh();
  const CommitLog& log = watched.log;
  fleet_.logged(run, log.newest_generation());
  const auto newest = log.live().empty() ? 0 : static_cast<uint64_t>(log.live().back().step);
  if (newest < view.committed() && log.rollbacks() > 0)
    act(fleet_.rolled_back(run, newest, log.why_rolled_back(), unix_now()));
  else if (newest > 0)
    act(fleet_.committed(run, newest, unix_now()));
  if (sight.is == Sight::Is::ended)
    act(fleet_.ended(run, generation, sight.ending, unix_now()));
  else if (sight.is != Sight::Is::unknown)
    act(fleet_.placed(run, generation, sight.is == Sight::Is::waiting, sight.job, unix_now()));
}

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
  while (
      !series_.follow(spec.name(), fs::path(spec.directory()) / "metrics.jsonl").newest.empty()) {
  }
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
  return details;
}

double Orchestrator::seconds_since_it_looked() const { return unix_now() - looked_at_; }

WorkerWishes Orchestrator::report(const WorkerReport& report) {
  const std::lock_guard lock(mutex_);
  act(fleet_.reported(report, unix_now()));
  return fleet_.wishes(report.run(), report.generation());
}

}  // namespace katman
