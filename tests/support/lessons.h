// What the tests of fine-tuning start from.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/small_run.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {

// A pre-trained model, and files to teach it from. The letter in the middle makes a text happy or
// sad.
class Lessons {
 public:
  Lessons();

  static std::vector<std::pair<std::string, std::string>> pairs();

  std::string file(const std::string& name) const { return dir_.file(name); }
  std::string base() const { return run_.path("base"); }
  const SmallRun& runs() const { return run_; }

  // As SmallRun::any_length; here the warm-up is a share of the steps, too.
  static std::vector<std::string> any_length() {
    return {SmallRun::any_length, "learning_rate.warmup_steps=1"};
  }

  // Writes NAME.textproto.
  std::string run_file(const std::string& name, const std::string& section) const;
  std::vector<std::string> command(const std::string& name, const std::string& section,
                                   const std::vector<std::string>& sets = {}) const;
  Result finetune(const std::string& name, const std::string& section,
                  const std::vector<std::string>& sets = {}) const;
  std::string classification() const;
  std::string completion() const;

 private:
  void write(const std::string& name, uint64_t examples, uint64_t first);

  SmallRun run_;
  TempDir dir_;
};

// Made when first asked for.
const Lessons& lessons();

std::vector<nlohmann::json> read_lines(const std::string& path);

}  // namespace katman::testing
