// What the tests of fine-tuning start from.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
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

template <class Condition>
void eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    require(std::chrono::steady_clock::now() < end, "it did not happen within a minute");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::vector<nlohmann::json> read_lines(const std::string& path);

}  // namespace katman::testing
