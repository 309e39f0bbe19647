#include "parallel/checkpoint/checkpoint.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <set>

#include "core/log.h"
#include "parallel/checkpoint/commit_log.h"
#include "parallel/checkpoint/directory.h"
#include "parallel/checkpoint/gather.h"
#include "parallel/checkpoint/rank_file.h"
#include "parallel/checkpoint/save.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

// How a rank's part of a save or a load ended; the worst of all ranks' is how it ended.
enum class Outcome : int64_t { good, failed, fenced, other_model };

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

struct CheckpointStore::Parts {
  Parts(fs::path path, CheckpointOptions chosen, Backend& device, Comm& ranks)
      : directory(std::move(path)),
        options(std::move(chosen)),
        backend(device),
        world(ranks),
        files(options.on_file_operation),
        log(directory, files) {}

  bool first() const { return world.rank() == 0; }
  Outcome worst(Outcome mine) {
    const auto all = gather(world, backend, static_cast<int64_t>(mine));
    return static_cast<Outcome>(std::ranges::max(all));
  }

  void start();
  int64_t free_bytes() const;
  int64_t from_first(int64_t number) { return gather(world, backend, number)[0]; }
  std::vector<SkippedSamples> skipped_by_the_log();
  bool room_for(int64_t my_bytes);
  void set_problem(const std::string& text);  // said as an error, unless it is that there is none
  Outcome write(const SaveJob& job);
  Outcome outcome();
  void write_all(const SaveJob& job);
  Outcome after_failure(const SaveJob& job);
  Outcome load(const CommitLog::Entry& entry, std::span<const Piece> wanted,
               std::optional<CheckpointInfo>& info, std::string& message);

  fs::path directory;
  CheckpointOptions options;
  Backend& backend;
  Comm& world;
  Files files;
  CommitLog log;  // used by the thread that writes while there is one
  uint64_t generation = 0;
  std::set<std::string> passed_over;  // damaged: neither counted nor removed
  Snapshot snapshot;
  int64_t last_step = -1;
  bool last_good = true;
  std::mutex problem_mutex;
  std::string problem;
  std::atomic<bool> abandoned = false;
  std::string message;           // of what went wrong in `writing`
  std::future<Outcome> writing;  // last: joined before what it uses goes
};

CheckpointStore::CheckpointStore(fs::path directory, CheckpointOptions options, Backend& backend,
                                 Comm& world)
    : parts_(std::make_unique<Parts>(std::move(directory), std::move(options), backend, world)) {
  require_usage(parts_->options.keep_last >= 1, "checkpoint.keep_last is {}; at least 1 must stay",
                parts_->options.keep_last);
  parts_->start();
}

CheckpointStore::~CheckpointStore() { parts_->abandoned = true; }

uint64_t CheckpointStore::generation() const { return parts_->generation; }

std::string CheckpointStore::problem() const {
  const std::lock_guard lock(parts_->problem_mutex);
  return parts_->problem;
}

void CheckpointStore::Parts::set_problem(const std::string& text) {
  if (!text.empty()) spdlog::error("{}", text);
  const std::lock_guard lock(problem_mutex);
  problem = text;
}

void CheckpointStore::Parts::start() {
  std::string problem;
  if (first()) try {
      files.make_directory(directory);
      const uint64_t above = std::max<uint64_t>(options.generation, 1) - 1;
      generation = log.start(std::max(highest_generation(directory), above));
      sweep(directory, log, generation, files);
    } catch (const Error& error) {
      problem = error.what();
      generation = 0;
    }
  generation = static_cast<uint64_t>(gather(world, backend, static_cast<int64_t>(generation))[0]);
  require(generation > 0, "{}", first() ? problem : "rank 0 could not start the run's checkpoints");
  log.refresh();
}

std::optional<CheckpointInfo> CheckpointStore::latest() const {
  const Parts& parts = *parts_;
  for (const auto& entry : candidates(parts.directory, CommitLog(parts.directory, parts.files))) {
    try {
      check_committed(parts.directory, entry);
      return read_checkpoint_info(parts.directory / entry.directory);
    } catch (const Error& error) {
      spdlog::warn("passing over a damaged checkpoint: {}", error.what());
    }
  }
  return std::nullopt;
}

Outcome CheckpointStore::Parts::load(const CommitLog::Entry& entry, std::span<const Piece> wanted,
                                     std::optional<CheckpointInfo>& info, std::string& problem) {
  try {
    check_committed(directory, entry);
    info = read_checkpoint_info(directory / entry.directory);
    load_checkpoint(directory / entry.directory, wanted, backend);
    return Outcome::good;
  } catch (const UsageError& error) {
    problem = error.what();
    return Outcome::other_model;
  } catch (const Error& error) {
    problem = error.what();
    spdlog::warn("passing over a damaged checkpoint: {}", error.what());
    return Outcome::failed;
  }
}

std::optional<CheckpointInfo> CheckpointStore::resume(std::span<const Piece> wanted) {
  Parts& parts = *parts_;
  const auto found =
      parts.first() ? candidates(parts.directory, parts.log) : std::vector<CommitLog::Entry>{};
  const auto from_first = [&](int64_t number) { return parts.from_first(number); };
  const int64_t count = from_first(static_cast<int64_t>(found.size()));
  for (int64_t i = 0; i < count; ++i) {
    // Rank 0's choice: another rank's view of a network file system may be older.
    CommitLog::Entry entry = parts.first() ? found[static_cast<size_t>(i)] : CommitLog::Entry{};
    entry.step = from_first(entry.step);
    entry.generation = static_cast<uint64_t>(from_first(static_cast<int64_t>(entry.generation)));
    entry.directory = checkpoint_name(entry.step, entry.generation);
    std::optional<CheckpointInfo> info;
    std::string problem = "another rank says why";
    const Outcome outcome = parts.worst(parts.load(entry, wanted, info, problem));
    if (outcome == Outcome::other_model) throw UsageError(problem);
    if (outcome == Outcome::good) return info;
    parts.passed_over.insert(entry.directory);
  }
  require(count == 0,
          "none of the {} checkpoints in {} can be loaded; the log above names each defect", count,
          parts.directory.string());
  return std::nullopt;
}

// Rank 0's view, as for everything that all ranks must know alike.
std::vector<SkippedSamples> CheckpointStore::Parts::skipped_by_the_log() {
  std::vector<SkippedSamples> skipped(
      static_cast<size_t>(from_first(static_cast<int64_t>(log.skipped().size()))));
  if (first()) skipped = log.skipped();
  for (SkippedSamples& samples : skipped) {
    samples.set_first(static_cast<uint64_t>(from_first(static_cast<int64_t>(samples.first()))));
    samples.set_count(static_cast<uint64_t>(from_first(static_cast<int64_t>(samples.count()))));
  }
  return skipped;
}

int64_t CheckpointStore::roll_back(int64_t step, const std::string& why,
                                   const std::vector<SkippedSamples>& skipped) {
  Parts& parts = *parts_;
  int64_t target = -1;
  std::string problem = "rank 0 could not write to the run's commit log";
  if (parts.first()) try {
      CommitLog::Entry entry;  // the beginning
      parts.log.refresh();
      for (const CommitLog::Entry& live : parts.log.live())
        if (live.step <= step) entry = live;
      parts.log.roll_back(parts.generation, entry.directory, why, skipped);
      target = entry.step;
    } catch (const Error& error) {
      problem = error.what();
    }
  target = parts.from_first(target);
  require(target >= 0, "{}", problem);
  return target;
}

int64_t CheckpointStore::rollbacks_that_skip() const {
  return parts_->from_first(parts_->log.rollbacks_that_skip());
}

std::vector<SkippedSamples> CheckpointStore::skipped() const {
  return parts_->skipped_by_the_log();
}

// Of the disk; as much as one can count where it does not say.
int64_t CheckpointStore::Parts::free_bytes() const {
  if (options.free_bytes) return options.free_bytes();
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  return error ? INT64_MAX : static_cast<int64_t>(space.available);
}

// Whether the disk can take what all ranks are about to write; the same answer on all of them.
bool CheckpointStore::Parts::room_for(int64_t my_bytes) {
  int64_t wanted = 0;
  for (const int64_t bytes : gather(world, backend, my_bytes)) wanted += bytes;
  const int64_t available = std::ranges::min(gather(world, backend, free_bytes()));
  if (!first() || available / 2 >= wanted) return available >= wanted;
  if (available >= wanted) {
    spdlog::warn("the disk of {} will be full soon: {:.2f} GB are free, a checkpoint takes {:.2f}",
                 directory.string(), gigabytes(available), gigabytes(wanted));
    return true;
  }
  set_problem(fmt::format(
      "no checkpoint was saved: it takes {:.2f} GB, the disk of {} has {:.2f}; those that exist "
      "stay. Free some space, or lower checkpoint.keep_last",
      gigabytes(wanted), directory.string(), gigabytes(available)));
  return false;
}

void CheckpointStore::prepare(std::span<const Piece> pieces) {
  finish();
  const int64_t bytes = Snapshot::bytes_of(pieces, parts_->options.weights_only);
  parts_->writing = std::async(std::launch::async, [&parts = *parts_, bytes] {
    parts.snapshot.reserve(bytes);
    return Outcome::good;
  });
}

void CheckpointStore::save(const CheckpointInfo& info, std::span<const Piece> pieces) {
  Parts& parts = *parts_;
  if (finish() && parts.last_step == info.step) return;
  const auto begin = Clock::now();
  parts.snapshot.take(pieces, parts.backend, parts.options.weights_only);
  parts.last_step = info.step;
  parts.last_good = parts.room_for(parts.snapshot.bytes());
  if (!parts.last_good) return;
  SaveJob job{.directory = parts.directory / checkpoint_name(info.step, parts.generation),
              .rank = parts.world.rank(),
              .ranks = parts.world.size(),
              .info = info,
              .tokenizer = parts.options.tokenizer,
              .deadline = Clock::now() + parts.options.deadline,
              .abandoned = [&parts] { return parts.abandoned.load(); }};
  job.info.generation = parts.generation;
  job.info.weights_only = parts.options.weights_only;
  parts.writing =
      std::async(std::launch::async, [&parts, job = std::move(job)] { return parts.write(job); });
  if (parts.first())
    spdlog::debug("training stood still for {:.3f} s for the checkpoint", seconds_since(begin));
}

// Runs beside training; talks to nobody but the file system. It takes the processor where training
// waits: a thread of a team that is put off for it puts off the whole team.
Outcome CheckpointStore::Parts::write(const SaveJob& job) {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);  // of this thread only
  try {
    write_all(job);
    return Outcome::good;
  } catch (const Fenced& error) {
    message = error.what();
    return Outcome::fenced;
  } catch (const std::exception& error) {
    message = error.what();
  }
  return first() ? after_failure(job) : Outcome::failed;
}

// The slot may have been created before something failed: then the checkpoint counts, and those it
// retired do not.
Outcome CheckpointStore::Parts::after_failure(const SaveJob& job) {
  log.refresh();
  const std::string name = job.directory.filename().string();
  if (std::ranges::find(log.live(), name, &CommitLog::Entry::directory) != log.live().end()) {
    spdlog::warn("{} was saved, but afterwards: {}", job.directory.string(), message);
    set_problem("");
    return Outcome::good;
  }
  set_problem(fmt::format("the checkpoint of step {} was not saved, those that exist stay: {}",
                          job.info.step, message));
  std::error_code ignored;  // the next start sweeps what cannot be removed now
  fs::remove_all(job.directory, ignored);
  return Outcome::failed;
}

void CheckpointStore::Parts::write_all(const SaveJob& job) {
  const auto begin = Clock::now();
  save_my_part(files, job, snapshot);
  if (!first()) return;
  std::vector<CommitLog::Entry> live = log.live();
  std::erase_if(live, [&](const auto& entry) { return passed_over.contains(entry.directory); });
  std::vector<std::string> retired = to_retire(live, options.keep_last, options.keep_every);
  for (const CommitLog::Entry& entry : log.discarded())
    if (entry.step <= job.info.step) retired.push_back(entry.directory);
  const int64_t bytes = save_manifest(files, job, log, retired);
  set_problem("");
  spdlog::info("saved {} ({:.2f} GB in {:.1f} s)", job.directory.string(), gigabytes(bytes),
               seconds_since(begin));
  for (const std::string& old : retired) try {
      files.remove(directory / old);
    } catch (const Error& error) {
      spdlog::warn("{}; it no longer counts and can go", error.what());
    }
}

// Of the save that is under way. The others have written their parts, or not, before rank 0 is
// asked for the whole: it would wait until the deadline for a part of a rank whose disk did not
// even take a note.
Outcome CheckpointStore::Parts::outcome() {
  Outcome mine = first() ? Outcome::good : writing.get();
  const Outcome others = worst(mine);
  if (!first()) return worst(mine);
  abandoned = others != Outcome::good;
  mine = writing.get();
  abandoned = false;
  return worst(std::max(mine, others));
}

bool CheckpointStore::finish() {
  Parts& parts = *parts_;
  if (!parts.writing.valid()) return parts.last_good;
  const Outcome outcome = parts.outcome();
  if (outcome == Outcome::fenced)
    throw Fenced(parts.first() ? parts.message
                               : std::string("a newer generation of this run has started"));
  parts.last_good = outcome == Outcome::good;
  return parts.last_good;
}

}  // namespace katman
