// A run of the real program that ends within a second or two.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {

// Training that a signal ended.
struct Interrupted {
  int status = -1;   // as of Process::wait()
  size_t steps = 0;  // that it had done
  std::string output;
};

// A corpus of made-up text and a run file for a very small model, in a directory of its own.
class SmallRun {
 public:
  SmallRun();

  // `katman train` with these fields set, everything of the run going to `directory` (below this
  // object's own).
  std::vector<std::string> command(const std::string& directory,
                                   const std::vector<std::string>& sets = {}) const;
  Result train(const std::string& directory, const std::vector<std::string>& sets = {}) const;
  // Starts this command, with far more steps to do than it will, and ends it by a signal once it
  // has done `after`. How many steps a run has changes its learning rates, unless these are
  // constant (any_length): whoever goes on says how many there are.
  Interrupted interrupt(const std::string& directory, std::vector<std::string> command,
                        size_t after, int signal) const;
  static constexpr const char* any_length = "learning_rate.kind=CONSTANT";

  std::string path(const std::string& directory) const { return dir_.file(directory); }
  std::string corpus() const { return dir_.file("corpus"); }

  // What metrics.jsonl says last of every step. [step]
  std::map<int64_t, double> losses(const std::string& directory) const;
  // A checksum of every tensor file of the newest checkpoint, by name.
  std::map<std::string, uint64_t> newest_checkpoint(const std::string& directory) const;

 private:
  TempDir dir_;
};

}  // namespace katman::testing
