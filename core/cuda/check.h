// Errors of the CUDA libraries, as sentences.
#pragma once

#include <cuda_runtime.h>

namespace katman {

// Throws Error "cannot WHAT: <what CUDA says>" unless the call succeeded. An error of a kernel that
// ran earlier shows at a later call; KATMAN cannot tell which one, compute-sanitizer can.
void cuda_check(cudaError_t result, const char* what);

}  // namespace katman
