// The backends that tests run on: those of make_backend, and the CUDA backend on an emulated
// device.
#pragma once

#include <memory>
#include <string>

#include "core/backend.h"
#include "core/cuda_library.h"

namespace katman::testing {

// kind: as for make_backend, or "emulated": core/cuda compiled for the host; see
// tests/emulated_cuda/cuda_runtime.h.
std::unique_ptr<Backend> test_backend(const std::string& kind, int threads = 0);

// The library that such a backend comes from; kind: "emulated" or "cuda:N".
CudaLibrary cuda_library(const std::string& kind);

// Why this machine cannot run that kind, or nothing: to be given to GTEST_SKIP.
std::string why_absent(const std::string& kind);

// Why that library traces nothing here (the emulated one always does), or nothing.
std::string why_no_trace(const std::string& kind);

}  // namespace katman::testing
