// What the shared library shows to the program: see core/cuda_library.h.
#include "core/cuda/cuda.h"
#include "core/cuda_library.h"

namespace katman {

extern "C" {
[[gnu::visibility("default")]] Backend* katman_cuda_backend(int device) {
  return new CudaBackend(device);
}
[[gnu::visibility("default")]] int katman_cuda_devices() { return CudaDevice::count(); }
}

// The loader trusts these types.
static_assert(std::is_same_v<decltype(katman_cuda_backend), CudaLibrary::MakeBackend>);
static_assert(std::is_same_v<decltype(katman_cuda_devices), CudaLibrary::CountDevices>);

}  // namespace katman
