// Tensors of a device that travel through host memory.
#pragma once

#include <memory>

#include "core/comm.h"
#include "core/device_queue.h"

namespace katman {

// A communicator for tensors on the device of `queue` over one for host memory: what it sends is
// copied to staging memory first, what arrives is copied back behind wait(). Works wherever the
// other one does (two ranks on one device, machines without NCCL), at the price of both copies and
// of a host that waits for its device before each transfer. Groups of one rank need neither. `host`
// belongs to the new communicator; `queue` outlives it and its groups.
std::unique_ptr<Comm> make_staged_comm(std::unique_ptr<Comm> host, DeviceQueue& queue);

}  // namespace katman
