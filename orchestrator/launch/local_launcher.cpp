#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/launch/local.h"
#include "parallel/checkpoint/files.h"

extern char** environ;

namespace katman {
namespace fs = std::filesystem;
namespace {

// A shell stands over the ranks. It writes down who it is before they start and how they ended, so
// that neither is lost with the orchestrator. $0 is the job's stem, the rest the command.
constexpr const char* script =
    "echo $$ $(cut -d' ' -f22 /proc/$$/stat) > \"$0.job.new\" && mv \"$0.job.new\" \"$0.job\"; "
    "\"$@\"; echo $? > \"$0.exit.new\" && mv \"$0.exit.new\" \"$0.exit\"";

fs::path with(fs::path stem, const char* extension) { return stem += extension; }

struct Leader {
  pid_t pid = 0;
  std::string started;  // in clock ticks since the machine's start: a number may be used again
};

std::optional<Leader> leader_of(const Job& job) {
  Leader leader;
  std::ifstream in(with(job.stem(), ".job"));
  if (in >> leader.pid >> leader.started) return leader;
  return std::nullopt;
}

// State and start of a process, from /proc/PID/stat: "123 (name) S ...".
bool is_alive(const Leader& leader) {
  std::ifstream in(fmt::format("/proc/{}/stat", leader.pid));
  std::string line;
  if (!std::getline(in, line)) return false;
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::vector<std::string> values;
  for (std::string value; fields >> value;) values.push_back(value);
  return values.size() > 19 && values[0] != "Z" && values[19] == leader.started;
}

// The last words of the job that look like some, for the sentence that says why it ended.
std::string last_line(const fs::path& log) {
  std::ifstream in(log, std::ios::binary | std::ios::ate);
  if (!in.good()) return {};
  const auto size = static_cast<int64_t>(in.tellg());
  in.seekg(std::max<int64_t>(0, size - 4096));
  std::string last, error;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" -\t\r") == std::string::npos) continue;
    if (line.find("error") != std::string::npos) error = line;
    last = line;
  }
  return (error.empty() ? last : error).substr(0, 500);
}

Ending describe(int status, const fs::path& log) {
  Ending ending;
  ending.clean = status == 0;
  ending.signalled = status > 128;
  if (ending.signalled)
    ending.how =
        fmt::format("a process was ended by signal {} ({})", status - 128, strsignal(status - 128));
  else if (!ending.clean)
    ending.how = fmt::format("exit status {}: {}", status, last_line(log));
  else
    ending.how = "the processes left without being asked to";
  return ending;
}

}  // namespace

void LocalLauncher::start(const Job& job) {
  const Files files;
  files.make_directory(job.stem().parent_path());
  const std::string run_file = job.spec.directory() + "/run.textproto";
  files.write(run_file, to_text(job.spec));
  std::vector<std::string> words = {"/bin/sh", "-c", script, job.stem().string()};
  for (const std::string& word : launch_command(job.spec, run_file)) words.push_back(word);
  words.push_back(fmt::format("--generation={}", job.generation));
  words.push_back("--report-to=" + job.report_to);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const std::string log = with(job.stem(), ".log").string();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);  // sockets are not for workers
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  pid_t child = 0;
  const int error = posix_spawn(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  require(error == 0, "cannot start the ranks of {}: {}", job.spec.name(), std::strerror(error));
  children_.insert(child);
}

void LocalLauncher::reap() {
  std::erase_if(children_, [](int child) { return waitpid(child, nullptr, WNOHANG) != 0; });
}

std::optional<Ending> LocalLauncher::ended(const Job& job) {
  reap();
  const auto leader = leader_of(job);
  // Between start() and its first words the shell is ours.
  if (!leader && !children_.empty()) return std::nullopt;
  if (leader && is_alive(*leader)) return std::nullopt;
  // The shell is gone; what it started may still be there when it was killed.
  if (leader && ::kill(-leader->pid, 0) == 0) return std::nullopt;
  int status = 0;
  std::ifstream exit(with(job.stem(), ".exit"));
  if (exit >> status) return describe(status, with(job.stem(), ".log"));
  Ending ending;
  ending.signalled = true;
  ending.how = leader ? "the processes were killed" : "the processes were never started";
  return ending;
}

void LocalLauncher::kill(const Job& job) {
  const auto leader = leader_of(job);
  if (leader && (is_alive(*leader) || ::kill(-leader->pid, 0) == 0)) ::kill(-leader->pid, SIGKILL);
}

}  // namespace katman
