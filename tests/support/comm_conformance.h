#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/comm.h"

namespace katman::testing {

// One property that every communicator has, for a world of any size and tensors on the device of
// each rank: runs on every rank and throws where it does not hold. Listed here rather than as
// tests, so that threads and processes run the same.
struct CommCase {
  std::string name;
  std::function<void(Comm& world, Backend& device)> run;
};
const std::vector<CommCase>& comm_cases();

// An uninitialised tensor in host memory.
Tensor host_tensor(const Shape& shape, DType dtype);

}  // namespace katman::testing
