#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "tests/support/temp_dir.h"

extern char** environ;

namespace katman::testing {

Process::Process(const std::vector<std::string>& arguments, const std::string& output_file) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, output_file.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  const int failed = posix_spawnp(&pid_, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  require(failed == 0, "cannot start {}", arguments[0]);
}

Process::~Process() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Process::signal(int number) { require(kill(pid_, number) == 0, "cannot signal {}", pid_); }

int Process::wait(std::chrono::seconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  int status = 0;
  rusage usage = {};
  while (wait4(pid_, &status, WNOHANG, &usage) == 0) {
    require(std::chrono::steady_clock::now() < end, "process {} did not end within {} s", pid_,
            deadline.count());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  pid_ = -1;
  peak_bytes_ = int64_t{usage.ru_maxrss} * 1024;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Result run(const std::vector<std::string>& arguments, std::chrono::seconds deadline) {
  const TempDir dir;
  Process process(arguments, dir.file("output"));
  Result result;
  result.status = process.wait(deadline);
  result.output = read_file(dir.file("output"));
  result.peak_bytes = process.peak_bytes();
  return result;
}

std::vector<pid_t> katman_processes(const std::string& words) {
  std::vector<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "cmdline", std::ios::binary);
    std::stringstream line;
    line << in.rdbuf();
    if (line.str().starts_with(katman()) && line.str().find(words) != std::string::npos)
      pids.push_back(std::stoi(entry.path().filename()));
  }
  std::ranges::sort(pids);
  return pids;
}

std::string katman() { return KATMAN_BINARY_DIR "/katman"; }

}  // namespace katman::testing
