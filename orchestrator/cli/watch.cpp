#include "orchestrator/cli/watch.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "core/log.h"

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s / 60 % 60);
}

// "reading pages:  42 %  11.3 MB/s  812 documents/s  12 s left"
std::string describe(const Progress& progress, double elapsed_s) {
  std::string line = progress.stage.load();
  const auto position = static_cast<double>(progress.position);
  const auto end = static_cast<double>(progress.end);
  const double share = end > 0 ? std::min(1.0, position / end) : 0;
  if (end > 0) line += fmt::format(": {:3.0f} %", 100 * share);
  if (progress.documents > 0 && elapsed_s > 0)
    line += fmt::format("  {:.1f} MB/s  {:.0f} documents/s",
                        static_cast<double>(progress.bytes) / 1e6 / elapsed_s,
                        static_cast<double>(progress.documents) / elapsed_s);
  if (share > 0.01 && elapsed_s > 1)
    line += fmt::format("  {} left", duration(elapsed_s * (1 - share) / share));
  else if (end == 0)
    line += fmt::format("  {}", duration(elapsed_s));
  return line;
}

}  // namespace

Watch::Watch(Progress& progress) : progress_(progress) {
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { look(); });
}

Watch::~Watch() {
  over_ = true;
  thread_.join();
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

// Waiting for a signal with a timeout is the clock of the display, too.
void Watch::look() {
  const sigset_t signals = stop_signals();
  const timespec tick{0, 100'000'000};
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const double every_s = terminal ? 0.2 : 5;
  std::string stage;
  Clock::time_point start, shown;
  while (!over_) {
    const int signal = sigtimedwait(&signals, nullptr, &tick);
    if (signal > 0) handle_signal(signal);
    const std::string now = progress_.stage.load();
    const bool fresh = now != stage;
    if (fresh) {
      stage = now;
      start = shown = Clock::now();
    }
    if (stage.empty() || (!fresh && seconds_since(shown) < every_s)) continue;
    shown = Clock::now();
    const std::string line = describe(progress_, seconds_since(start));
    if (terminal)
      fmt::print(stderr, "\r\033[K{}", line);
    else if (!fresh)
      spdlog::info("{}", line);
  }
  if (terminal && !stage.empty()) fmt::print(stderr, "\r\033[K");
}

void Watch::handle_signal(int signal) {
  if (progress_.stop) {
    const sigset_t signals = stop_signals();
    ::signal(signal, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    raise(signal);
  }
  progress_.stop = true;
}

}  // namespace katman
