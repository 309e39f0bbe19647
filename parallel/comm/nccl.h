// Ranks with a GPU each, over NCCL.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/comm.h"
#include "core/device_queue.h"
#include "core/pool.h"

namespace katman {

// Why NCCL cannot be used here: this build has none of it, or its library cannot be loaded. Empty
// when it can.
std::string why_no_nccl();
// As "2.28.9"; only where there is one.
std::string nccl_version();

// The ranks of `host` as a communicator for tensors on the devices of their `compute` queues. It
// works on queues beside those, so that transfers run while the device computes. Sums are formed
// here, in rank order and in f32 (core/sum.h), from slices that NCCL moves: 2 (p-1)/p of an
// all_reduce's bytes leave each rank, as in a ring, and the result is the same bits as on any other
// communicator. Each direction between two ranks has a queue of its own, so that transfers can only
// deadlock where the program does. A watchman looks after everything in flight: an error of NCCL's
// or a transfer older than `deadline` aborts all of this rank's communicators and is thrown by the
// next call. `host` is owned; compute and pool (device memory) outlive the result.
std::unique_ptr<Comm> make_nccl_comm(std::unique_ptr<Comm> host, DeviceQueue& compute, Pool& pool,
                                     std::chrono::milliseconds deadline);

}  // namespace katman
