// The time of day as it is stored and sent.
#pragma once

#include <chrono>

namespace katman {

inline double unix_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace katman
