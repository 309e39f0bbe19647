#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "core/backend.h"
#include "core/comm.h"

namespace katman::testing {

// Runs fn on n ranks, each a thread with its communicator, and joins them. When a rank throws, the
// others are broken off and the first exception is thrown again here.
void run_ranks(int n, const std::function<void(Comm&)>& fn,
               std::chrono::milliseconds deadline = std::chrono::seconds(20));

// How each rank gets its device.
using MakeDevice = std::function<std::unique_ptr<Backend>()>;

// The same with a device per rank, whose tensors the ranks exchange.
void run_ranks_on(const MakeDevice& make_device, int n,
                  const std::function<void(Comm&, Backend&)>& fn,
                  std::chrono::milliseconds deadline = std::chrono::seconds(20));

}  // namespace katman::testing
