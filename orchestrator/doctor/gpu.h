// The part of the doctor that knows GPUs.
#pragma once

#include <vector>

#include "orchestrator/doctor/doctor.h"

namespace katman {

// Driver, Katman's CUDA library and what it sees, NCCL, cuDNN.
std::vector<Finding> examine_gpus();

}  // namespace katman
