// A device as bad as a real one, without one: memory the host must not touch, and work that is done
// some time later.
#pragma once

#include <memory>
#include <string>

#include "core/backend.h"

namespace katman::testing {

// Runs the operations of a host backend ("reference", "cpu") in order on a thread of its own, over
// memory whose addresses, as tensors show them, are mapped without access: code that reads or
// writes a tensor past the backend crashes, code that forgets to order itself after the queue
// computes something else, and a buffer that went back to the device is read as zeros.
std::unique_ptr<Backend> make_far_backend(const std::string& inner);

}  // namespace katman::testing
