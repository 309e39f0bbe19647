// What a run's own files and ranks say to who looks at it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "proto/control.pb.h"

namespace katman {

// What can be said of checkpoints without reading their tensors. Committed ones do not change, so
// each is looked at once. Any thread.
class CheckpointCatalogue {
 public:
  // The checkpoints that a rollback went behind, then those that count, oldest first. A run without
  // any has none.
  void add(const std::filesystem::path& run_directory, RunDetails& details);

 private:
  std::mutex mutex_;
  std::map<std::filesystem::path, SavedCheckpoint> known_;
};

// The last lines of a log, about `most_bytes` of them; when `contains` is not empty, only those
// with these words in them (case does not matter), searched for in the last 64 MB. Bytes that are
// no ASCII come as '?'. Empty when there is no such file.
std::string read_log(const std::filesystem::path& file, uint32_t most_bytes,
                     const std::string& contains);

// The ranks that were heard of with their places, and once it was all of them, their hosts.
void add_ranks(const std::vector<RankView>& ranks, const Mesh& mesh, RunDetails& details);

}  // namespace katman
