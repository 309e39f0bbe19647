#include "orchestrator/control/orchestrator.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/fork.h"
#include "orchestrator/control/run_files.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/run_data.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::milliseconds look_every{200};
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
  complete(spec, "");
  spec.set_directory((data / "runs" / spec.name()).string());
  train_config(spec, RunData(spec).vocabulary()).check();  // the corpus is there, and fits
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

Orchestrator::Orchestrator(fs::path data, FleetPolicy policy, std::unique_ptr<Launcher> launcher)
    : data_(made(data)),
      lock_(std::make_unique<Lock>(data_ / "lock")),
      database_(data_ / "katman.db"),
      store_(database_),
      series_(database_),
      fleet_(std::move(policy)),
      launcher_(std::move(launcher)) {
  for (const RunView& run : store_.runs())
    fleet_.restore(run, store_.pending(run.name()), unix_now());
}

Orchestrator::~Orchestrator() {
  over_ = true;
  if (thread_.joinable()) thread_.join();
}

void Orchestrator::start(const std::string& address) {
  address_ = address;
  thread_ = std::thread([this] { look(); });
}

Orchestrator::Watched& Orchestrator::watched(const std::string& run, uint64_t generation) {
  const auto found = watched_.find(run);
  if (found != watched_.end() && found->second.job.generation == generation) return found->second;
  watched_.erase(run);
  const Job job{store_.spec(run), generation, address_};
  return watched_.try_emplace(run, job).first->second;
}

// Written down first, done then: what was started is known to whoever comes after a crash.
void Orchestrator::act(Effects effects, const CommandRequest* command) {
  store_.write(effects, fleet_, command);
  for (const Event& event : effects.events)
    spdlog::info("{}: {}{}", event.run(), event.kind() == "state" ? "" : event.kind() + ": ",
                 event.text());
  for (const Effects::Target& target : effects.kills)
    launcher_->kill(watched(target.run, target.generation).job);
  for (const Effects::Target& target : effects.launches) launch(target);
}

void Orchestrator::launch(const Effects::Target& target) try {
  launcher_->start(watched(target.run, target.generation).job);
} catch (const Error& error) {
  act(fleet_.ended(target.run, target.generation, {.how = error.what()}, unix_now()));
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
    std::this_thread::sleep_for(look_every);
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
  const auto ending = launcher_->ended(watched.job);
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
  if (!watched.log.live().empty())
    act(fleet_.committed(run, static_cast<uint64_t>(watched.log.live().back().step), unix_now()));
  if (ending) act(fleet_.ended(run, generation, *ending, unix_now()));
}

RunView Orchestrator::submit(const SubmitRequest& request) {
  require_usage(!request.id().empty() && request.id().size() <= longest_word &&
                    request.actor().size() <= longest_word,
                "a submission needs an id, and its words end after {} bytes", longest_word);
  const RunSpec spec = parse_submission(request, data_);
  const std::lock_guard lock(mutex_);
  if (const auto known = store_.submitted(request.id())) return fleet_.run(*known);
  const Job job{spec, 0, ""};
  RunView run;
  run.set_name(spec.name());
  run.set_ranks(job.ranks());
  run.set_priority(request.priority());
  run.set_steps(spec.steps());
  run.set_directory(spec.directory());
  run.set_launcher(launcher_->name());
  Effects effects = fleet_.submit(run, unix_now());
  store_.add(spec.name(), request.id(), spec);
  act(std::move(effects));
  act(fleet_.passed(unix_now()));
  return fleet_.run(spec.name());
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
  act(fleet_.command(request, unix_now()), &request);
  act(fleet_.passed(unix_now()));
  return store_.result(request.id()).value();
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
  fs::path file = Job{spec, reply.generation(), ""}.stem();
  const uint32_t most = request.most_bytes() ? request.most_bytes() : 64u << 10;
  reply.set_text(read_log(file += ".log", std::min(most, most_log_bytes), request.contains()));
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
                  .validating = both("validation_seconds")},
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
  return store_.spec(run);
}

RunDetails Orchestrator::details(const std::string& run) {
  RunDetails details;
  RunSpec spec;
  {
    const std::lock_guard lock(mutex_);
    *details.mutable_run() = fleet_.run(run);
    spec = store_.spec(run);
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
