// Which of the tables of kernels this processor can run. Apart from them, since kernels may include
// nothing with inline functions.
#pragma once

#include <vector>

#include "core/cpu/kernels/kernels.h"

namespace katman {

// The best first: what cpu_kernels() takes.
std::vector<CpuKernels> runnable_cpu_kernels();

}  // namespace katman
