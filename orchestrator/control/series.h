// Figures over steps, at every zoom. A value lies once as it is, and in buckets of 4, 16, ... steps
// above it, which keep minimum, maximum, sum, last and the count of values that were not finite: a
// chart of a million steps reads a thousand rows and still shows every spike.
//
// Values belong to the generation that made them. A later generation that began at step b has taken
// over from there: what earlier ones did at b and after it is discarded, and says so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/control/database.h"
#include "proto/control.pb.h"

namespace katman {

// What is left of several values in a row.
struct Summary {
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, last = 0;
  int64_t count = 0, bad = 0;  // finite ones, and those that were not

  void add(double value);
  void add(const Summary& later);
};

class Series {
 public:
  explicit Series(Database& database);

  // What metrics.jsonl said since the last call.
  struct News {
    uint64_t steps_done = 0;  // of the newest line that has a loss; 0: none
    std::map<std::string, double> newest;
    bool any = false;  // there were lines
  };
  // Reads the lines that appeared since the last call, at most a few megabytes of them, and stores
  // them and how far it came in one transaction: each line counts once, whatever dies when.
  News follow(const std::string& run, const std::filesystem::path& metrics);
  // The same with all the lines there are: for a file that nobody looks at again.
  News follow_to_the_end(const std::string& run, const std::filesystem::path& metrics);

  // Steps [from, to) in buckets wide enough that about most_points cover them; a generation's
  // first and last bucket may be cut, so that none holds both what counts and what was discarded.
  SeriesReply read(const SeriesRequest& request);
  std::vector<std::string> names(const std::string& run);
  // The first step of every generation. [generation]
  std::map<int64_t, int64_t> beginnings(const std::string& run);
  // Everything that `name` was in the run: what counts, and what was discarded. Reads a few rows.
  struct Totals {
    Summary counting, discarded;
  };
  Totals totals(const std::string& run, const std::string& name);

 private:
  struct Point {
    int64_t step;
    Summary bucket;
  };
  using Place = std::pair<int64_t, int64_t>;  // series, generation
  std::optional<int64_t> number_of(const std::string& run, const std::string& name);
  int64_t made_number(const std::string& run, const std::string& name);
  int64_t points(Place, int64_t level, int64_t from, int64_t to);
  std::vector<Point> rows(Place, int64_t level, int64_t from, int64_t to);
  Summary total(Place, int64_t level, int64_t from, int64_t to);
  std::vector<Point> cover(Place, int64_t level, int64_t from, int64_t to);
  Database& database_;
};

}  // namespace katman
