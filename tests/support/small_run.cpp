#include "tests/support/small_run.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "orchestrator/bench/tokenize.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/files.h"
#include "tests/support/eventually.h"

namespace katman::testing {
namespace fs = std::filesystem;

namespace {

constexpr const char* run_file = R"(
steps: 12
seed: 7
model { preset: "tiny" layers: 2 hidden: 32 heads: 4 sequence: 32 }
data { batch_tokens: 256 micro_batch: 4 }
learning_rate { peak: 1e-2 warmup_steps: 2 }
validation { every_steps: 6 sequences: 4 }
checkpoint { every_steps: 4 }
)";

std::string json_lines(int documents) {
  std::string lines;
  for (int i = 0; i < documents; ++i)
    lines += nlohmann::json{{"text", made_up_text(3000, static_cast<uint64_t>(i))}}.dump() + "\n";
  return lines;
}

}  // namespace

SmallRun::SmallRun() {
  dir_.write("pages.jsonl", json_lines(60));
  dir_.write("run.textproto", run_file);
  const Result built = run({katman(), "data", "build", "--out", corpus(), "--vocabulary", "300",
                            "--validation", "0.1", dir_.file("pages.jsonl")});
  require(built.status == 0, "the corpus was not built: {}", built.output);
}

std::vector<std::string> SmallRun::command(const std::string& directory,
                                           const std::vector<std::string>& sets) const {
  std::vector<std::string> words = {katman(), "train", dir_.file("run.textproto")};
  const auto set = [&](const std::string& assignment) {
    words.insert(words.end(), {"--set", assignment});
  };
  set("directory=" + path(directory));
  set("data.corpus=" + corpus());
  for (const std::string& assignment : sets) set(assignment);
  return words;
}

Result SmallRun::train(const std::string& directory, const std::vector<std::string>& sets) const {
  return run(command(directory, sets));
}

Interrupted SmallRun::interrupt(const std::string& directory, std::vector<std::string> command,
                                size_t after, int signal) const {
  command.insert(command.end(), {"--set", "steps=1000000"});
  const std::string log = path(directory) + ".log";
  Process process(command, log);
  eventually("it trains", [&] { return losses(directory).size() >= after; });
  process.signal(signal);
  const int status = process.wait();
  return {status, losses(directory).size(), read_file(log)};
}

std::map<int64_t, double> SmallRun::losses(const std::string& directory) const {
  std::map<int64_t, double> losses;
  const fs::path file = fs::path(path(directory)) / "metrics.jsonl";
  if (!fs::exists(file)) return losses;
  std::istringstream lines(read_file(file));
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (record.is_object() && record.contains("loss")) losses[record["step"]] = record["loss"];
  }
  return losses;
}

std::map<std::string, uint64_t> SmallRun::newest_checkpoint(const std::string& directory) const {
  std::map<std::string, uint64_t> files;
  for (const auto& entry : fs::directory_iterator(find_checkpoint(path(directory))))
    if (entry.path().extension() == ".safetensors")
      files[entry.path().filename().string()] = checksum(read_file(entry.path()));
  return files;
}

}  // namespace katman::testing
