#include "tests/support/backends.h"

#include "core/cuda_library.h"

namespace katman::testing {

std::unique_ptr<Backend> test_backend(const std::string& kind, int threads) {
  if (kind != "emulated") return make_backend(kind, threads);
  return CudaLibrary::beside_me("libkatman_cuda_emulated.so").backend(0);
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

}  // namespace katman::testing
