// A group of one rank, on any device.
#pragma once

#include <memory>
#include <string>

#include "core/comm.h"
#include "core/device_queue.h"

namespace katman {

// Everything that this rank could be sent is here already: sums are what they sum, and what is
// gathered or scattered moves at most within the device. `queue` outlives it.
std::unique_ptr<Comm> make_comm_of_one(DeviceQueue& queue, std::string name);

}  // namespace katman
