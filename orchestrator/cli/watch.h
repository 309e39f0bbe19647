// What people see while long work runs, and how they stop it.
#pragma once

#include <thread>

#include "data_pipeline/build/progress.h"

namespace katman {

// Shows `progress` on standard error as long as this lives: one line, rewritten, on a terminal; a
// plain line every few seconds otherwise. The first SIGINT or SIGTERM asks the work to stop, the
// second ends the program. Make it before other threads: they inherit the blocked signals.
class Watch {
 public:
  explicit Watch(Progress& progress);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  void look();
  void handle_signal(int signal);

  Progress& progress_;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace katman
