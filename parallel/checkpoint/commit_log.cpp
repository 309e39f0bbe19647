#include "parallel/checkpoint/commit_log.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "core/host_name.h"
#include "core/log.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/manifest.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// The highest slot that a listing shows; 0 for an empty log. Slots are never deleted by us, so a
// gap means that a person did; what is behind it still counts.
int64_t highest_slot(const fs::path& directory) {
  int64_t highest = 0;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(directory, missing)) {
    const std::string name = entry.path().filename().string();
    if (name.size() == 8 && name.find_first_not_of("0123456789") == std::string::npos)
      highest = std::max(highest, static_cast<int64_t>(std::stoll(name)));
  }
  return highest;
}

}  // namespace

CommitLog::CommitLog(fs::path checkpoints, const Files& files)
    : directory_(std::move(checkpoints) / "log"), files_(files) {
  refresh();
}

fs::path CommitLog::slot_path(int64_t slot) const {
  return directory_ / fmt::format("{:08}", slot);
}

bool CommitLog::has_more() const { return fs::exists(slot_path(last_slot_ + 1)); }

void CommitLog::refresh() {
  // The listing of a network file system may be old; opening the next slot by name is not.
  const int64_t listed = highest_slot(directory_);
  while (last_slot_ < listed || has_more()) {
    const fs::path slot = slot_path(++last_slot_);
    try {
      LogRecord record;
      unseal(read_text(slot), slot, record);
      apply(record);
    } catch (const Error& error) {
      spdlog::warn("passing over a slot of the commit log: {}", error.what());
      damaged_ = true;
    }
  }
}

void CommitLog::apply(const LogRecord& record) {
  if (record.has_start()) {
    generations_.push_back(record.generation());
    newest_generation_ = std::max(newest_generation_, record.generation());
  } else if (record.has_commit()) {
    const auto& commit = record.commit();
    for (auto* entries : {&live_, &discarded_})
      std::erase_if(*entries, [&](const Entry& entry) {
        return std::ranges::find(commit.retired(), entry.directory) != commit.retired().end();
      });
    live_.push_back({static_cast<int64_t>(commit.step()), record.generation(), commit.directory(),
                     commit.manifest_xxh3()});
  } else if (record.has_rollback()) {
    ended_generation_ = std::max(ended_generation_, record.generation());
    apply(record.rollback());
  }
}

void CommitLog::apply(const LogRecord::Rollback& rollback) {
  const auto is_target = [&](const Entry& entry) {
    return entry.directory == rollback.directory();
  };
  std::vector<Entry> all = discarded_;
  all.insert(all.end(), live_.begin(), live_.end());
  const auto target = std::ranges::find_if(all, is_target);
  const int64_t step = target == all.end() ? -1 : target->step;
  std::vector<Entry> before;
  for (const Entry& entry : live_)
    if (entry.step < step) before.push_back(entry);
  if (target != all.end()) before.push_back(*target);
  discarded_.clear();
  for (const Entry& entry : all)
    if (std::ranges::find(before, entry.directory, &Entry::directory) == before.end())
      discarded_.push_back(entry);
  live_ = std::move(before);
  ++rollbacks_;
  rollbacks_that_skip_ += !rollback.skipped().empty();
  rolled_back_to_ = static_cast<uint64_t>(std::max<int64_t>(0, step));
  why_rolled_back_ = rollback.why();
  skipped_.insert(skipped_.end(), rollback.skipped().begin(), rollback.skipped().end());
}

bool CommitLog::has_started(uint64_t generation) const {
  return std::ranges::find(generations_, generation) != generations_.end();
}

bool CommitLog::append(LogRecord record) {
  using namespace std::chrono;
  record.set_host(host_name());
  record.set_process(getpid());
  record.set_unix_time(duration_cast<seconds>(system_clock::now().time_since_epoch()).count());
  if (!files_.write_new(slot_path(last_slot_ + 1), seal(record))) return false;
  ++last_slot_;
  apply(record);
  return true;
}

uint64_t CommitLog::start(uint64_t at_least) {
  files_.make_directory(directory_);
  LogRecord record;
  do {
    refresh();
    record.set_generation(std::max(newest_generation_, at_least) + 1);
    record.mutable_start()->set_parent(live_.empty() ? "" : live_.back().directory);
  } while (!append(record));
  damaged_ = false;  // what it may have been was before this start
  return record.generation();
}

void CommitLog::commit(uint64_t generation, const Entry& entry,
                       const std::vector<std::string>& retired) {
  LogRecord record;
  record.set_generation(generation);
  auto& commit = *record.mutable_commit();
  commit.set_step(static_cast<uint64_t>(entry.step));
  commit.set_directory(entry.directory);
  commit.set_manifest_xxh3(entry.manifest_xxh3);
  commit.mutable_retired()->Assign(retired.begin(), retired.end());
  do {
    refresh();
    require_newest(generation);
    if (ended_generation_ >= generation)
      throw Fenced(
          fmt::format("generation {} of this run may not write to {} any more: the run "
                      "was rolled back",
                      generation, directory_.parent_path().string()));
  } while (!append(record));
}

void CommitLog::require_newest(uint64_t generation) const {
  const std::string who =
      fmt::format("generation {} of this run may not write to {} any more: ", generation,
                  directory_.parent_path().string());
  if (damaged_) throw Fenced(who + "another one, whose slot of the log is damaged, has started");
  if (newest_generation_ > generation)
    throw Fenced(fmt::format("{}generation {} has started", who, newest_generation_));
}

void CommitLog::roll_back(uint64_t generation, const std::string& directory, const std::string& why,
                          const std::vector<SkippedSamples>& skipped) {
  LogRecord record;
  record.set_generation(generation);
  auto& rollback = *record.mutable_rollback();
  rollback.set_directory(directory);
  rollback.set_why(why);
  rollback.mutable_skipped()->Assign(skipped.begin(), skipped.end());
  do {
    refresh();
    require_newest(generation);
    const auto is_there = [&](const std::vector<Entry>& entries) {
      return std::ranges::find(entries, directory, &Entry::directory) != entries.end();
    };
    require(directory.empty() || is_there(live_) || is_there(discarded_),
            "{} has no checkpoint {} to roll back to", directory_.parent_path().string(),
            directory);
  } while (!append(record));
}

}  // namespace katman
