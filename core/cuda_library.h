// The CUDA part of Katman, a shared library that is loaded when somebody asks for a GPU: one build
// of the program runs on machines with and without CUDA.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

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

// libkatman_cuda.so once it is loaded. It stays loaded until the process ends, since buffers that
// it made may live that long.
class CudaLibrary {
 public:
  // Throws Error with what the loader said: the file is missing, or a CUDA library that it needs.
  explicit CudaLibrary(const std::filesystem::path& file);
  // The one that was built with this program: in its directory, or in ../lib/katman.
  static CudaLibrary beside_me(const char* name = "libkatman_cuda.so");

  // Throws Error, in one sentence, when there is no driver, no such device or a device too old.
  std::unique_ptr<Backend> backend(int device) const;
  // How many devices the driver shows; throws as backend() does when there is no driver.
  int devices() const;
  CudaDeviceInfo describe(int device) const;
  // Of the CUDA runtime that the library was built with: 13000 is 13.0.
  int runtime_version() const;

  // What the library exports, as extern "C" functions of these names and types.
  using MakeBackend = Backend*(int device);
  using CountDevices = int();
  using Describe = void(int device, CudaDeviceInfo* info);
  static constexpr const char* make_backend_name = "katman_cuda_backend";
  static constexpr const char* count_devices_name = "katman_cuda_devices";
  static constexpr const char* describe_name = "katman_cuda_describe";
  static constexpr const char* version_name = "katman_cuda_version";  // a CountDevices

 private:
  void* symbol(const char* name) const;

  std::filesystem::path file_;
  void* handle_;
};

}  // namespace katman
