#include "orchestrator/launch/execute.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "core/error.h"
#include "orchestrator/launch/launcher.h"

extern char** environ;

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t most_bytes = 1 << 20;

// What a child writes, until it closes its end.
class Outlet {
 public:
  Outlet() { require(pipe2(ends_.data(), O_CLOEXEC) == 0, "no pipe: {}", std::strerror(errno)); }
  ~Outlet() {
    close_writing();
    close(ends_[0]);
  }
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;

  int reading() const { return ends_[0]; }
  int writing() const { return ends_[1]; }
  void close_writing() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  // Takes what is there; false at its end.
  bool read_some(std::string& text) const {
    std::array<char, 4096> buffer;
    const ssize_t count = read(ends_[0], buffer.data(), buffer.size());
    if (count > 0 && text.size() < most_bytes)
      text.append(buffer.data(), static_cast<size_t>(count));
    return count > 0 || (count < 0 && errno == EINTR);
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

pid_t spawn(std::vector<std::string>& words, const Outlet& output, const Outlet& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.writing(), 1);
  posix_spawn_file_actions_adddup2(&actions, errors.writing(), 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  pid_t child = -1;
  const std::vector<char*> argv = argv_of(words);
  const int error = posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error == 0 ? child : -1;
}

}  // namespace

Executed execute(std::vector<std::string> words, std::chrono::milliseconds longest) {
  Executed executed{.status = 127};
  Outlet output, errors;
  const pid_t child = spawn(words, output, errors);
  if (child < 0) return executed;
  output.close_writing();
  errors.close_writing();
  const auto end = Clock::now() + longest;
  std::array<pollfd, 2> open = {pollfd{output.reading(), POLLIN, 0},
                                pollfd{errors.reading(), POLLIN, 0}};
  std::array<std::string*, 2> texts = {&executed.output, &executed.errors};
  while (open[0].fd >= 0 || open[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) break;
    poll(open.data(), open.size(), static_cast<int>(left.count()) + 1);
    for (size_t i = 0; i < open.size(); ++i)
      if (open[i].fd >= 0 && open[i].revents && !(i == 0 ? output : errors).read_some(*texts[i]))
        open[i].fd = -1;
  }
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() > end) kill(-child, SIGKILL);
    usleep(1000);
  }
  executed.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return executed;
}

}  // namespace katman
