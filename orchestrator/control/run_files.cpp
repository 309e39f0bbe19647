#include "orchestrator/control/run_files.h"

#include <chrono>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "core/log.h"
#include "parallel/checkpoint/commit_log.h"
#include "parallel/pipeline/draw.h"
#include "parallel/pipeline/measure.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

uint64_t bytes_below(const fs::path& directory) {
  uint64_t bytes = 0;
  std::error_code gone;  // retention may be at work
  for (fs::recursive_directory_iterator file(directory, gone), end; !gone && file != end;
       file.increment(gone))
    if (file->is_regular_file(gone)) bytes += file->file_size(gone);
  return bytes;
}

double changed_at(const fs::path& path) {
  std::error_code gone;
  const auto time = fs::last_write_time(path, gone);
  if (gone) return 0;
  const auto system = std::chrono::file_clock::to_sys(time).time_since_epoch();
  return std::chrono::duration<double>(system).count();
}

}  // namespace

void add_checkpoints(const fs::path& run_directory, RunDetails& details) {
  const fs::path directory = run_directory / "checkpoints";
  const Files files;
  CommitLog log(directory, files);
  log.refresh();
  for (const CommitLog::Entry& entry : log.live()) {
    SavedCheckpoint& saved = *details.add_checkpoints();
    saved.set_step(static_cast<uint64_t>(entry.step));
    saved.set_generation(entry.generation);
    saved.set_directory(entry.directory);
    saved.set_bytes(bytes_below(directory / entry.directory));
    saved.set_saved_at(changed_at(directory / entry.directory));
  }
}

void add_timeline(const fs::path& run_directory, RunDetails& details) try {
  Timeline timeline;
  while (true) {
    const fs::path path =
        run_directory / "timelines" / fmt::format("stage-{}", timeline.ranks.size());
    std::ifstream in(path);
    if (!in.good()) break;
    timeline.ranks.push_back(
        parse_spans(std::string{std::istreambuf_iterator<char>(in), {}}, path.string()));
  }
  if (timeline.ranks.empty()) return;
  details.set_bubble_measured(timeline.bubble());
  details.set_bubble_simulated(
      simulate(compute_of(timeline), costs_of(timeline)).timeline.bubble());
  details.set_timeline_svg(draw_svg(timeline, "the newest step that was written down"));
} catch (const Error& error) {
  // Stages write one after the other: for a moment, two steps may lie side by side.
  spdlog::debug("{}: {}", run_directory.string(), error.what());
}

}  // namespace katman
