// Where a long piece of work is, for whoever watches it.
#pragma once

#include <atomic>
#include <cstdint>

namespace katman {

// Written by the work, read by a watcher on another thread. All counts belong to the stage and
// start at 0 with it.
struct Progress {
  std::atomic<const char*> stage = "";          // "reading pages", "learning the vocabulary", ...
  std::atomic<uint64_t> position = 0, end = 0;  // in any unit; end 0: nobody knows
  std::atomic<uint64_t> bytes = 0;              // of text or pages handled
  std::atomic<uint64_t> documents = 0;          // handled

  std::atomic<bool> stop = false;  // set by the watcher: the work throws Error soon

  void begin(const char* name, uint64_t end_position) {
    position = bytes = documents = 0;
    end = end_position;
    stage = name;
  }
};

}  // namespace katman
