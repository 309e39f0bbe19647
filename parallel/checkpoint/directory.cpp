#include "parallel/checkpoint/directory.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/log.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/manifest.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

std::vector<CommitLog::Entry> named_directories(const fs::path& checkpoints) {
  std::vector<CommitLog::Entry> found;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(checkpoints, missing))
    if (const auto named = parse_checkpoint_name(entry.path().filename().string()))
      found.push_back(*named);
  return found;
}

}  // namespace

std::string checkpoint_name(int64_t step, uint64_t generation) {
  return fmt::format("step-{:08}.g{}", step, generation);
}

std::optional<CommitLog::Entry> parse_checkpoint_name(const std::string& name) {
  constexpr std::string_view before = "step-", between = ".g";
  CommitLog::Entry entry{0, 0, name, 0};
  const char* const end = name.data() + name.size();
  if (!name.starts_with(before)) return std::nullopt;
  const auto step = std::from_chars(name.data() + before.size(), end, entry.step);
  if (step.ec != std::errc() || !std::string_view(step.ptr, end).starts_with(between))
    return std::nullopt;
  const auto generation = std::from_chars(step.ptr + between.size(), end, entry.generation);
  if (generation.ec != std::errc() || generation.ptr != end) return std::nullopt;
  // What else reads as two numbers (a sign, fewer digits) is no name that was given here.
  if (checkpoint_name(entry.step, entry.generation) != name) return std::nullopt;
  return entry;
}

std::vector<CommitLog::Entry> candidates(const fs::path& checkpoints, const CommitLog& log) {
  std::vector<CommitLog::Entry> found(log.live().rbegin(), log.live().rend());
  // After a rollback to the beginning, it is meant that none counts.
  if (!found.empty() || log.rollbacks() > 0) return found;
  for (const auto& entry : named_directories(checkpoints))
    if (!log.has_started(entry.generation) &&
        fs::exists(checkpoints / entry.directory / manifest_name))
      found.push_back(entry);
  std::ranges::sort(found, [](const auto& a, const auto& b) {
    return std::pair(a.step, a.generation) > std::pair(b.step, b.generation);
  });
  if (!found.empty())
    spdlog::warn("the commit log of {} lists no checkpoint; going by the directories",
                 checkpoints.string());
  return found;
}

void check_committed(const fs::path& checkpoints, const CommitLog::Entry& entry) {
  const fs::path directory = checkpoints / entry.directory;
  const CheckpointManifest manifest = read_manifest(directory);
  if (entry.manifest_xxh3)
    require(checksum(read_text(directory / manifest_name)) == entry.manifest_xxh3,
            "{} is not the one that was committed", (directory / manifest_name).string());
  for (const CheckpointFile& file : manifest.files()) {
    std::error_code missing;
    const auto bytes = fs::file_size(directory / file.name(), missing);
    require(!missing, "{} is missing", (directory / file.name()).string());
    require(bytes == file.bytes(), "{} has {} bytes, not {}", (directory / file.name()).string(),
            bytes, file.bytes());
  }
}

uint64_t highest_generation(const fs::path& checkpoints) {
  uint64_t highest = 0;
  for (const auto& entry : named_directories(checkpoints))
    highest = std::max(highest, entry.generation);
  return highest;
}

void sweep(const fs::path& checkpoints, const CommitLog& log, uint64_t generation,
           const Files& files) {
  for (const auto& entry : named_directories(checkpoints)) {
    const auto is_in = [&](const std::vector<CommitLog::Entry>& entries) {
      return std::ranges::find(entries, entry.directory, &CommitLog::Entry::directory) !=
             entries.end();
    };
    if (is_in(log.live()) || is_in(log.discarded())) continue;
    if (entry.generation >= generation || !log.has_started(entry.generation)) continue;
    spdlog::info("removing {}: it was never finished, or is no longer kept",
                 (checkpoints / entry.directory).string());
    files.remove(checkpoints / entry.directory);
  }
}

fs::path find_checkpoint(const fs::path& path) {
  require_usage(fs::is_directory(path), "there is no directory {}", path.string());
  if (fs::exists(path / manifest_name)) return path;
  const fs::path checkpoints = fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path;
  const Files files;
  for (const auto& entry : candidates(checkpoints, CommitLog(checkpoints, files))) {
    try {
      check_committed(checkpoints, entry);
      return checkpoints / entry.directory;
    } catch (const Error& error) {
      spdlog::warn("passing over a damaged checkpoint: {}", error.what());
    }
  }
  throw UsageError(fmt::format(
      "{} holds no checkpoint: give the directory of one, of a run, or a run's checkpoints/",
      path.string()));
}

}  // namespace katman
