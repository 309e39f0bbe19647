#include "orchestrator/launch/launcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <thread>

#include "orchestrator/control/spec.h"
#include "orchestrator/worker.h"
#include "parallel/checkpoint/files.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// The last words in a log that look like some: a line that has `wanted` in it, else the last one.
std::string last_line(const fs::path& log, const char* wanted) {
  std::ifstream in(log, std::ios::binary | std::ios::ate);
  if (!in.good()) return {};
  const auto size = static_cast<int64_t>(in.tellg());
  in.seekg(std::max<int64_t>(0, size - 4096));
  std::string last, best;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" -\t\r") == std::string::npos) continue;
    if (line.find(wanted) != std::string::npos) best = line;
    last = line;
  }
  return (best.empty() ? last : best).substr(0, 500);
}

}  // namespace

fs::path Job::stem() const {
  return fs::path(spec.directory()) / "logs" / fmt::format("generation-{:05}", generation);
}

fs::path Job::file(const char* extension) const { return stem() += extension; }

Mesh Job::mesh() const {
  return {.tp = static_cast<int>(spec.mesh().tp()),
          .dp = static_cast<int>(spec.mesh().dp()),
          .pp = static_cast<int>(spec.mesh().pp())};
}

std::vector<std::string> Job::worker_command(int threads) const {
  std::vector<std::string> words = {
      fs::read_symlink("/proc/self/exe").string(), "worker", file(".textproto").string(),
      fmt::format("--threads={}", threads), fmt::format("--generation={}", generation)};
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) words.push_back(option + value);
  };
  add("--report-to=", report_to.address);
  add("--token-file=", report_to.token_file);
  add("--ca=", report_to.ca_file);
  if (terminal) words.emplace_back("--terminal");
  return words;
}

void Job::write_run_file() const {
  const Files files;
  files.make_directory(stem().parent_path());
  files.write(file(".textproto"), to_text(spec));
}

Ending describe_exit(int status, const fs::path& log) {
  Ending ending;
  ending.clean = status == 0;
  ending.rolled_back = status == rolled_back_status;
  ending.signalled = status > 128;
  ending.hopeless = status == diverged_status;
  if (ending.signalled)
    ending.how =
        fmt::format("a process was ended by signal {} ({})", status - 128, strsignal(status - 128));
  else if (ending.rolled_back)
    ending.how = last_line(log, "back to step");
  else if (ending.hopeless)
    ending.how = last_line(log, "error");
  else if (!ending.clean)
    ending.how = fmt::format("exit status {}: {}", status, last_line(log, "error"));
  else
    ending.how = "the processes left without being asked to";
  return ending;
}

std::vector<char*> argv_of(std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return argv;
}

int threads_here(int ranks) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::max(1, cores / ranks);
}

}  // namespace katman
