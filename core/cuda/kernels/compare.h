// Whether two results are the same.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace katman::kernels {

// *differs = 1 unless the bytes are the same; left alone otherwise.
void find_difference(cudaStream_t stream, const std::byte* a, const std::byte* b, int64_t bytes,
                     int32_t* differs);

}  // namespace katman::kernels
