// The backends that tests run on: those of make_backend, and the CUDA backend on an emulated
// device.
#pragma once

#include <memory>
#include <string>

#include "core/backend.h"

namespace katman::testing {

// kind: as for make_backend, or "emulated": core/cuda compiled for the host; see
// tests/emulated_cuda/cuda_runtime.h.
std::unique_ptr<Backend> test_backend(const std::string& kind, int threads = 0);

// Why this machine cannot run that kind, or nothing: to be given to GTEST_SKIP.
std::string why_absent(const std::string& kind);

}  // namespace katman::testing
