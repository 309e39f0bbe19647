// One save: from the snapshots of all ranks to a line in the commit log.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/commit_log.h"
#include "parallel/checkpoint/rank_file.h"

namespace katman {

struct SaveJob {
  std::filesystem::path directory;  // of this checkpoint
  int rank = 0, ranks = 1;
  CheckpointInfo info;
  std::filesystem::path tokenizer;  // empty: none
  std::chrono::steady_clock::time_point deadline;
  std::function<bool()> abandoned;  // asked while waiting for other ranks
};

// What every rank does: its file, or else a note why there is none. Throws what went wrong.
void save_my_part(const Files& files, const SaveJob& job, const Snapshot& snapshot);

// What rank 0 does after its own part: waits for the others', writes the manifest, commits.
// Returns the size of the whole checkpoint in bytes.
int64_t save_manifest(const Files& files, const SaveJob& job, CommitLog& log,
                      const std::vector<std::string>& retired);

// Which of the live ones go when one of `step` is added: all but the last `keep_last` (the new one
// among them) and those whose step is a multiple of keep_every (when that is not 0).
std::vector<std::string> to_retire(const std::vector<CommitLog::Entry>& live, int keep_last,
                                   int64_t keep_every);

}  // namespace katman
