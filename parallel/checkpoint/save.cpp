#include "parallel/checkpoint/save.h"

#include <thread>

#include "core/log.h"
#include "parallel/checkpoint/directory.h"
#include "parallel/checkpoint/manifest.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// Ranks meet on the file system alone: a save runs beside training, whose communicators are busy.
void wait_for_rank(const SaveJob& job, int rank) {
  using namespace std::chrono_literals;
  const fs::path file = job.directory / rank_file_name(rank);
  const fs::path failure = job.directory / rank_failure_name(rank);
  for (auto pause = 1ms; !fs::exists(file); pause = std::min(2 * pause, 200ms)) {
    if (fs::exists(failure)) fail("rank {}: {}", rank, read_text(failure));
    require(!job.abandoned(), "rank {} did not write its part", rank);
    require(std::chrono::steady_clock::now() < job.deadline,
            "rank {} did not write {} in time: is {} on a file system that all ranks share?", rank,
            file.string(), job.directory.parent_path().string());
    std::this_thread::sleep_for(pause);
  }
}

void add_tokenizer(const Files& files, const SaveJob& job, CheckpointManifest& manifest) {
  if (job.tokenizer.empty()) return;
  const std::string text = read_text(job.tokenizer);
  files.write(job.directory / "tokenizer.json", text);
  CheckpointFile& entry = *manifest.add_files();
  entry.set_name("tokenizer.json");
  entry.set_bytes(text.size());
  entry.set_head_bytes(text.size());
  entry.set_head_xxh3(checksum(text));
}

}  // namespace

void save_my_part(const Files& files, const SaveJob& job, const Snapshot& snapshot) try {
  files.make_directory(job.directory);
  write_rank_file(files, job.directory, job.rank, snapshot);
} catch (const Error& error) {
  try {  // so that rank 0 knows why
    files.write(job.directory / rank_failure_name(job.rank), error.what());
  } catch (const Error&) {
    // The disk takes nothing at all. That it failed, finish() tells.
  }
  throw;
}

int64_t save_manifest(const Files& files, const SaveJob& job, CommitLog& log,
                      const std::vector<std::string>& retired) {
  CheckpointManifest manifest = to_manifest(job.info);
  for (int rank = 0; rank < job.ranks; ++rank) {
    wait_for_rank(job, rank);
    add_rank_file(manifest, job.directory, rank);
  }
  add_tokenizer(files, job, manifest);
  check_manifest(manifest, "what the ranks saved");
  const std::string text = seal(manifest);
  files.write(job.directory / manifest_name, text);
  log.commit(
      job.info.generation,
      {job.info.step, job.info.generation, job.directory.filename().string(), checksum(text)},
      retired);
  int64_t bytes = static_cast<int64_t>(text.size());
  for (const CheckpointFile& file : manifest.files()) bytes += static_cast<int64_t>(file.bytes());
  return bytes;
}

std::vector<std::string> to_retire(const std::vector<CommitLog::Entry>& live, int keep_last,
                                   int64_t keep_every) {
  std::vector<std::string> retired;
  for (size_t i = 0; i + static_cast<size_t>(keep_last) <= live.size(); ++i)
    if (keep_every == 0 || live[i].step % keep_every != 0) retired.push_back(live[i].directory);
  return retired;
}

}  // namespace katman
