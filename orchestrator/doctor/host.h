// The machine as training finds it: memory, cores, devices.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace katman {

// In bytes; what a container leaves of the machine's.
struct HostMemory {
  int64_t total = 0, available = 0;
};
// `root`: for tests, where /proc and /sys are looked for.
HostMemory host_memory(const std::filesystem::path& root = "/");

struct Processor {
  std::string model;
  int cores = 0;                   // that this process may use
  std::vector<std::string> flags;  // of avx2, avx512f, avx512_bf16, amx_bf16: those it has
};
Processor processor(const std::filesystem::path& root = "/");

// CUDA devices that a backend can be made for; 0 without driver, library or device. Asks no library
// where there is no driver.
int usable_cuda_devices();

}  // namespace katman
