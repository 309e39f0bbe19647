// Fleet's decisions, made to happen. What people ask for is in orchestrator_requests.cpp.
#include "orchestrator/control/orchestrator.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <set>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/clock.h"
#include "orchestrator/control/spec.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

fs::path made(const fs::path& directory) {
  const Files files;
  files.make_directory(directory / "runs");
  return fs::absolute(directory);
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
  static const std::set<std::string> unusual = {"kill", "rollback", "suspect", "unsaved"};
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
  fleet_.figures(rollback.run).set_logged_rollbacks(log.rollbacks());
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
  const fs::path metrics = fs::path(watched.job.spec.directory()) / "metrics.jsonl";
  const auto news = sight.is == Sight::Is::ended ? series_.follow_to_the_end(run, metrics)
                                                 : series_.follow(run, metrics);
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
  if (!view.has_logged_rollbacks()) view.set_logged_rollbacks(log.rollbacks());
  if (log.rollbacks() > view.logged_rollbacks()) {
    view.set_logged_rollbacks(log.rollbacks());
    act(fleet_.rolled_back(run, log.rolled_back_to(), log.why_rolled_back(), unix_now()));
  }
  if (!log.live().empty())
    act(fleet_.committed(run, static_cast<uint64_t>(log.live().back().step), unix_now()));
  if (sight.is == Sight::Is::ended)
    act(fleet_.ended(run, generation, sight.ending, unix_now()));
  else if (sight.is != Sight::Is::unknown)
    act(fleet_.placed(run, generation, sight.is == Sight::Is::waiting, sight.job, unix_now()));
}

double Orchestrator::seconds_since_it_looked() const { return unix_now() - looked_at_; }

WorkerWishes Orchestrator::report(const WorkerReport& report) {
  const std::lock_guard lock(mutex_);
  act(fleet_.reported(report, unix_now()));
  return fleet_.wishes(report.run(), report.generation());
}

}  // namespace katman
