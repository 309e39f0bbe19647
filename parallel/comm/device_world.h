// How ranks exchange the tensors of their devices.
#pragma once

#include <chrono>
#include <memory>

#include "core/backend.h"
#include "core/comm.h"

namespace katman {

// The ranks of `host`, a communicator over host memory, as one for the tensors of `backend`: the
// same one on the host, NCCL where it is installed and every rank has a device of its own, host
// memory as a stage in between everywhere else (two ranks on one device). Rank 0 says once in the
// log which. Collective; both arguments outlive what is made. `deadline`: how long a transfer may
// take under NCCL, those of `host` have their own.
std::unique_ptr<Comm> device_world(Comm& host, Backend& backend,
                                   std::chrono::milliseconds deadline);

}  // namespace katman
