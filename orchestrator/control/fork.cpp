#include "orchestrator/control/fork.h"

#include <algorithm>

#include "core/error.h"
#include "parallel/checkpoint/commit_log.h"

namespace katman {
namespace fs = std::filesystem;

void begin_from_checkpoint(const fs::path& from, int64_t step, const fs::path& to) {
  const Files files;
  CommitLog source(from / "checkpoints", files);
  source.refresh();
  const auto found = std::ranges::find(source.live(), step, &CommitLog::Entry::step);
  require_usage(found != source.live().end(), "{} has no checkpoint of step {}", from.string(),
                step);
  require_usage(fs::create_directories(to), "{} exists already: choose another name", to.string());
  try {
    const fs::path saved = to / "checkpoints" / found->directory;
    files.make_directory(saved);
    for (const auto& file : fs::directory_iterator(from / "checkpoints" / found->directory))
      fs::create_hard_link(file.path(), saved / file.path().filename());
    CommitLog log(to / "checkpoints", files);
    // A checkpoint's directory is named after the generation that committed it.
    log.commit(log.start(found->generation - 1), *found, {});
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(to, ignored);
    throw;
  }
}

}  // namespace katman
