#pragma once

#include <chrono>
#include <functional>

#include "core/comm.h"

namespace katman::testing {

// Runs fn on n ranks, each a thread with its communicator, and joins them. When a rank throws, the
// others are broken off and the first exception is thrown again here.
void run_ranks(int n, const std::function<void(Comm&)>& fn,
               std::chrono::milliseconds deadline = std::chrono::seconds(20));

}  // namespace katman::testing
