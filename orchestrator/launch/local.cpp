#include "orchestrator/launch/local.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/signals.h"
#include "parallel/checkpoint/files.h"
#include "parallel/comm/threads.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

int ranks_of(const RunSpec& spec) {
  return static_cast<int>(spec.mesh().tp() * spec.mesh().dp() * spec.mesh().pp());
}

// Cores are shared out evenly; with more ranks than cores, ranks take turns.
std::vector<std::string> worker_command(const RunSpec& spec, const std::string& run_file) {
  const int ranks = ranks_of(spec);
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return {fs::read_symlink("/proc/self/exe").string(), "worker", run_file,
          "--threads=" + std::to_string(std::max(1, cores / ranks))};
}

std::vector<std::string> mpirun_command(const RunSpec& spec, const std::string& run_file) {
  const int ranks = ranks_of(spec);
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::string> command = {"mpirun", "--oversubscribe", "-n", std::to_string(ranks)};
  if (geteuid() == 0) command.emplace_back("--allow-run-as-root");
  for (const char* word : {"--bind-to", ranks == cores ? "core" : "none"})
    command.emplace_back(word);
  for (const std::string& word : worker_command(spec, run_file)) command.push_back(word);
  return command;
}

// Becomes `command` in a process group of its own, so that a terminal's Ctrl-C reaches only the
// parent; ends when the parent does.
[[noreturn]] void become(const std::vector<std::string>& command) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

// mpirun would end its ranks on SIGTERM and SIGINT; SIGUSR1 it passes on, and workers save and
// stop.
int wait_for(pid_t child, const StopSignals& signals) {
  bool told = false;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (signals.requested() && !told) told = kill(child, SIGUSR1) == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Outcome run_under_mpirun(const RunSpec& spec) {
  const Files files;
  files.make_directory(spec.directory());
  const std::string run_file = spec.directory() + "/run.textproto";
  files.write(run_file, to_text(spec));
  const auto command = mpirun_command(spec, run_file);
  const StopSignals signals;
  const pid_t child = fork();
  require(child >= 0, "cannot start mpirun: {}", std::strerror(errno));
  if (child == 0) become(command);
  const int status = wait_for(child, signals);
  require(status != 127, "mpirun is not installed, and a run of {} ranks needs it", ranks_of(spec));
  require(status == 0, "a rank failed (mpirun ended with {}); its message is above", status);
  return signals.requested() ? Outcome::stopped : Outcome::completed;
}

}  // namespace

std::vector<std::string> launch_command(const RunSpec& spec, const std::string& run_file) {
  return ranks_of(spec) > 1 ? mpirun_command(spec, run_file) : worker_command(spec, run_file);
}

Outcome run_here(const RunSpec& spec) {
  if (ranks_of(spec) > 1) return run_under_mpirun(spec);
  ThreadWorld world(1);
  return run_worker(spec, *world.comm(0));
}

}  // namespace katman
