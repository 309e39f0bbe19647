// Figures over steps, at every zoom. Each value lies in a bucket of width 1 and in those of width
// 4, 16, ... above it, which keep minimum, maximum, sum, last and the count of values that were not
// finite: a chart of a million steps reads a thousand rows and still shows every spike.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/control/database.h"
#include "proto/control.pb.h"

namespace katman {

class Series {
 public:
  explicit Series(Database& database);

  // What metrics.jsonl said since the last call.
  struct News {
    uint64_t steps_done = 0;  // of the newest line that has a loss; 0: none
    std::map<std::string, double> newest;
  };
  // Reads the lines that appeared since the last call, at most a few megabytes of them, and stores
  // them and how far it came in one transaction: each line counts once, whatever dies when.
  News follow(const std::string& run, const std::filesystem::path& metrics);

  // At most most_points points of the steps that count, in order; those that a later generation
  // did again come as discarded, on top.
  SeriesReply read(const SeriesRequest& request);
  std::vector<std::string> names(const std::string& run);
  // The first step of every generation.
  std::map<int64_t, int64_t> beginnings(const std::string& run);

 private:
  struct Bucket;
  using Key = std::tuple<std::string, int64_t, int64_t, int64_t>;  // name, level, generation, start
  void store(const std::string& run, const std::map<Key, Bucket>& buckets);
  Database& database_;
};

}  // namespace katman
