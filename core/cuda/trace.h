// What the devices of this process did and when, by their own clock.
#pragma once

#include <vector>

#include "core/cuda_library.h"

namespace katman {

// As CudaLibrary promises. This file has two implementations, of which CMake takes one:
// cupti/trace.cpp where the toolkit's cupti.h was found, else cupti/absent.cpp, which refuses.
void start_trace();
std::vector<CudaActivity> finish_trace();

}  // namespace katman
