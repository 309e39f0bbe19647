// The CUDA part of Katman, a shared library that is loaded when somebody asks for a GPU: one build
// of the program runs on machines with and without CUDA.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.h"

namespace katman {

// The device number of "cuda" (0) or "cuda:N"; nothing for any other kind of backend.
std::optional<int> cuda_device_of(const std::string& kind);

// The largest head that attention takes there.
constexpr int64_t largest_cuda_head = 256;

// What a device is.
struct CudaDeviceInfo {
  std::string name;          // "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;  // compute capability
  int64_t memory_bytes = 0, free_bytes = 0;
};

// Something that a device did: a kernel, a copy or a fill.
struct CudaActivity {
  std::string name;  // a kernel's signature, "copy", "copy between devices" or "fill"
  int64_t begin_ns = 0, end_ns = 0;
};

// libkatman_cuda.so, or libkatman_cuda_cudnn.so, once it is loaded. It stays loaded until the
// process ends, since buffers that it made may live that long.
class CudaLibrary {
 public:
  // Throws Error with what the loader said: the file is missing, or a CUDA library that it needs.
  explicit CudaLibrary(const std::filesystem::path& file);
  // The one that was built with this program, in its directory or in ../lib/katman: the one with
  // cuDNN where it was built and this machine has cuDNN, else the one without.
  static CudaLibrary beside_me();
  static CudaLibrary beside_me(const char* name);
  static bool is_beside_me(const char* name);
  static constexpr const char* with_cudnn = "libkatman_cuda_cudnn.so";

  const std::filesystem::path& file() const { return file_; }

  // Throws Error, in one sentence, when there is no driver, no such device or a device too old.
  std::unique_ptr<Backend> backend(int device) const;
  // How many devices the driver shows; throws as backend() does when there is no driver.
  int devices() const;
  CudaDeviceInfo describe(int device) const;
  // Of the CUDA runtime that the library was built with: 13000 is 13.0.
  int runtime_version() const;
  // Which library computes attention where it can: "cuDNN 9.19"; nothing: our own kernels do.
  std::string fused_attention() const;

  // From here on everything that the calling thread's device does is recorded, what is enqueued
  // already aside. Throws Error where CUPTI, a part of the toolkit, is missing or refuses.
  void start_trace() const;
  // Waits for the device; what it did since, in the order in which it began.
  std::vector<CudaActivity> finish_trace() const;

  // What the library exports, as extern "C" functions of these names and types.
  using MakeBackend = Backend*(int device);
  using CountDevices = int();
  using Describe = void(int device, CudaDeviceInfo* info);
  using FusedAttentionName = void(std::string* name);
  using StartTrace = void();
  using FinishTrace = void(std::vector<CudaActivity>* activities);
  static constexpr const char* make_backend_name = "katman_cuda_backend";
  static constexpr const char* count_devices_name = "katman_cuda_devices";
  static constexpr const char* describe_name = "katman_cuda_describe";
  static constexpr const char* version_name = "katman_cuda_version";  // a CountDevices
  static constexpr const char* fused_attention_name = "katman_cuda_fused_attention";
  static constexpr const char* start_trace_name = "katman_cuda_start_trace";
  static constexpr const char* finish_trace_name = "katman_cuda_finish_trace";

 private:
  void* symbol(const char* name) const;

  std::filesystem::path file_;
  void* handle_;
};

}  // namespace katman
