// What the shared library shows to the program: see core/cuda_library.h.
#include "core/cuda/check.h"
#include "core/cuda/cuda.h"
#include "core/cuda/kernels/attention.h"
#include "core/cuda/trace.h"
#include "core/cuda_library.h"

namespace katman {

extern "C" {
[[gnu::visibility("default")]] Backend* katman_cuda_backend(int device) {
  return new CudaBackend(device);
}
[[gnu::visibility("default")]] int katman_cuda_devices() { return CudaDevice::count(); }
[[gnu::visibility("default")]] void katman_cuda_describe(int device, CudaDeviceInfo* info) {
  const CudaDevice found = CudaDevice::open(device);
  size_t free_bytes = 0, bytes = 0;
  cuda_check(cudaMemGetInfo(&free_bytes, &bytes), "ask for a device's memory");
  *info = {found.name, found.major, found.minor, found.memory_bytes,
           static_cast<int64_t>(free_bytes)};
}
[[gnu::visibility("default")]] int katman_cuda_version() { return CUDART_VERSION; }
[[gnu::visibility("default")]] void katman_cuda_fused_attention(std::string* name) {
  *name = FusedAttention::name();
}
[[gnu::visibility("default")]] void katman_cuda_start_trace() { start_trace(); }
[[gnu::visibility("default")]] void katman_cuda_finish_trace(
    std::vector<CudaActivity>* activities) {
  *activities = finish_trace();
}
}

static_assert(largest_cuda_head == kernels::largest_head);
// The loader trusts these types.
static_assert(std::is_same_v<decltype(katman_cuda_backend), CudaLibrary::MakeBackend>);
static_assert(std::is_same_v<decltype(katman_cuda_devices), CudaLibrary::CountDevices>);
static_assert(std::is_same_v<decltype(katman_cuda_describe), CudaLibrary::Describe>);
static_assert(std::is_same_v<decltype(katman_cuda_version), CudaLibrary::CountDevices>);
static_assert(
    std::is_same_v<decltype(katman_cuda_fused_attention), CudaLibrary::FusedAttentionName>);
static_assert(std::is_same_v<decltype(katman_cuda_start_trace), CudaLibrary::StartTrace>);
static_assert(std::is_same_v<decltype(katman_cuda_finish_trace), CudaLibrary::FinishTrace>);

}  // namespace katman
