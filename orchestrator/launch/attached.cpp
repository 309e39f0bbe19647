#include "orchestrator/launch/attached.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/error.h"

namespace katman {
namespace {

// What a file should keep of a terminal's lines: not what a carriage return takes back.
class PlainLines {
 public:
  explicit PlainLines(const std::filesystem::path& file) : out_(file, std::ios::app) {}

  void add(std::string_view text) {
    for (const char c : text) {
      if (c == '\r') {
        line_.clear();
      } else if (c == '\n') {
        constexpr std::string_view erase = "\033[K";
        out_ << (line_.starts_with(erase) ? line_.substr(erase.size()) : line_) << std::endl;
        line_.clear();
      } else {
        line_ += c;
      }
    }
  }

 private:
  std::ofstream out_;
  std::string line_;
};

// Until the last process of the job has closed its end.
void listen(int pipe, const std::filesystem::path& log) {
  PlainLines lines(log);
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t count = read(pipe, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    // Where nobody looks any more, the log goes on.
    [[maybe_unused]] const ssize_t shown =
        write(STDERR_FILENO, buffer.data(), static_cast<size_t>(count));
    lines.add({buffer.data(), static_cast<size_t>(count)});
  }
  close(pipe);
}

// After fork: a process group of its own, so that a terminal's Ctrl-C reaches only the parent, and
// an end together with it.
[[noreturn]] void become(char* const* argv, int output) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execvp(argv[0], argv);
  _exit(127);
}

}  // namespace

AttachedLauncher::~AttachedLauncher() {
  if (child_ > 0) {
    ::kill(-child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  if (listener_.joinable()) listener_.join();
}

void AttachedLauncher::start(const Job& job) {
  if (listener_.joinable()) listener_.join();
  job.write_run_file();
  std::vector<std::string> words = command(job);
  const std::vector<char*> argv = argv_of(words);
  std::array<int, 2> ends{};
  require(pipe2(ends.data(), O_CLOEXEC) == 0, "no pipe: {}", std::strerror(errno));
  const pid_t child = fork();
  if (child == 0) become(argv.data(), ends[1]);
  close(ends[1]);
  if (child < 0) close(ends[0]);
  require(child > 0, "cannot start the ranks: {}", std::strerror(errno));
  setpgid(child, child);
  child_ = child;
  listener_ = std::thread(listen, ends[0], job.file(".log"));
}

Sight AttachedLauncher::look(const Job& job) {
  if (child_ == 0) {
    Sight sight{.is = Sight::Is::ended};
    sight.ending = {.signalled = true, .how = "the processes were never started"};
    return sight;
  }
  int status = 0;
  if (waitpid(child_, &status, WNOHANG) == 0)
    return {.is = Sight::Is::running, .job = fmt::format("process {}", child_.load())};
  ::kill(-child_, SIGKILL);  // what it left behind
  child_ = 0;
  listener_.join();
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  Sight sight{.is = Sight::Is::ended};
  sight.ending = describe_exit(status_, job.file(".log"));
  if (status_ == 127) sight.ending.how = "mpirun is not installed, and several ranks need it";
  return sight;
}

void AttachedLauncher::kill(const Job&) {
  if (child_ > 0) ::kill(-child_, SIGKILL);
}

void AttachedLauncher::ask_to_leave() {
  if (child_ > 0) ::kill(child_, SIGUSR1);
}

}  // namespace katman
