// What a run tells the world: JSON lines and TensorBoard event files in the run's directory.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace katman {

using Scalars = std::vector<std::pair<std::string, double>>;

// metrics.jsonl: one object per line, {"step": n, "generation": g, "time": unix seconds, name:
// value...}. Appended
// and flushed line by line, so that a killed run loses at most the line it was writing; a resumed
// run goes on in the same file. Values that are not finite are written as null.
class JsonLines {
 public:
  JsonLines(const std::string& path, uint64_t generation);
  void write(int64_t step, const Scalars& scalars);

 private:
  std::string path_;
  uint64_t generation_;
  std::ofstream out_;
};

// events.out.tfevents.*: TFRecord frames (length, masked CRC-32C, Event message) that TensorBoard
// reads.
class TensorBoard {
 public:
  explicit TensorBoard(const std::string& directory);
  void write(int64_t step, const Scalars& scalars);

 private:
  void frame(const std::string& payload);
  std::string path_;
  std::ofstream out_;
};

}  // namespace katman
