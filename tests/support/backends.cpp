#include "tests/support/backends.h"

namespace katman::testing {

std::unique_ptr<Backend> test_backend(const std::string& kind, int threads) {
  return kind == "emulated" ? cuda_library(kind).backend(0) : make_backend(kind, threads);
}

CudaLibrary cuda_library(const std::string& kind) {
  return kind == "emulated" ? CudaLibrary::beside_me("libkatman_cuda_emulated.so")
                            : CudaLibrary::beside_me();
}

std::string why_absent(const std::string& kind) {
  if (!cuda_device_of(kind)) return {};
  static const std::string why = [&]() -> std::string {
    try {
      make_backend(kind);
      return {};
    } catch (const Error& error) {
      return error.what();
    }
  }();
  return why;
}

std::string why_no_trace(const std::string& kind) {
  if (kind == "emulated") return {};
  try {
    cuda_library(kind).start_trace();
    cuda_library(kind).finish_trace();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace katman::testing
