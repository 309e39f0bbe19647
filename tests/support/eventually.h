#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "core/error.h"

namespace katman::testing {

// Looks until this is so, or for a minute and a half.
template <class Condition>
bool happens(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(90);
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

template <class Condition>
void eventually(const std::string& what, Condition condition) {
  require(happens(condition), "not within 90 s: {}", what);
}

}  // namespace katman::testing
