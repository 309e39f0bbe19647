#include "core/backend.h"
#include "core/cpu/cpu.h"
#include "core/cpu/reference.h"
#include "core/cuda_library.h"

namespace katman {

std::unique_ptr<Backend> make_backend(const std::string& kind, int threads) {
  require_usage(threads >= 0, "a backend cannot run on {} threads; 0 means all cores", threads);
  if (kind == "reference") return std::make_unique<ReferenceBackend>();
  if (kind == "cpu") return std::make_unique<CpuBackend>(threads);
  if (const auto device = cuda_device_of(kind)) return CudaLibrary::beside_me().backend(*device);
  throw UsageError(fmt::format(
      "there is no backend \"{}\"; there are: reference, cpu, cuda:0, cuda:1, ...", kind));
}

}  // namespace katman
