// A run of the real program that ends within a second or two.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {

// A corpus of made-up text and a run file for a very small model, in a directory of its own.
class SmallRun {
 public:
  SmallRun();

  // `katman train` with these fields set, everything of the run going to `directory` (below this
  // object's own).
  std::vector<std::string> command(const std::string& directory,
                                   const std::vector<std::string>& sets = {}) const;
  Result train(const std::string& directory, const std::vector<std::string>& sets = {}) const;
  std::string path(const std::string& directory) const { return dir_.file(directory); }
  std::string corpus() const { return dir_.file("corpus"); }

  // What metrics.jsonl says last of every step. [step]
  std::map<int64_t, double> losses(const std::string& directory) const;
  // The bytes of every tensor file of the newest checkpoint, by name.
  std::map<std::string, std::string> newest_checkpoint(const std::string& directory) const;

 private:
  TempDir dir_;
};

}  // namespace katman::testing
