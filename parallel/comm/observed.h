// Seeing from outside what a rank waits for.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "core/comm.h"

namespace katman {

// What one rank waits for, told by its communicators, read by another thread.
class Waiting {
 public:
  using Clock = std::chrono::steady_clock;
  struct Now {
    std::string what;    // "dp of rank 3: all_reduce number 41"; empty: it computes
    double since_s = 0;  // it waits so long already
  };
  Now now() const;
  // Seconds that it waited since the last call. On a device whose transfers are ordered behind its
  // work (CUDA), waiting does not hold the host, and this says nothing about the device.
  double take_s();

  // For communicators. `group` and `verb` must live until end().
  void begin(const std::string& group, const char* verb, int64_t number);
  void end();

 private:
  mutable std::mutex mutex_;
  const std::string* group_ = nullptr;
  const char* verb_ = nullptr;
  int64_t number_ = 0;
  Clock::time_point since_;
  double sum_s_ = 0;
};

// `inner` and all groups that are split from it, unchanged but for saying what is waited for. Both
// must outlive what is returned.
std::unique_ptr<Comm> observed(Comm& inner, Waiting& waiting);

}  // namespace katman
