#include "core/cuda/check.h"

#include "core/error.h"

namespace katman {

void cuda_check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) [[likely]]
    return;
  fail("cannot {}: CUDA says {} ({})", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

}  // namespace katman
