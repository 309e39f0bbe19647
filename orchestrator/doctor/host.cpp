#include "orchestrator/doctor/host.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "core/cuda_library.h"
#include "core/error.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// The number in a file that holds nothing else; -1 when there is none ("max").
int64_t number_in(const fs::path& file) {
  int64_t number = -1;
  std::ifstream(file) >> number;
  return number > 0 ? number : -1;
}

// "MemTotal:  24041388 kB" and its like.
int64_t meminfo_bytes(const fs::path& root, const std::string& field) {
  std::ifstream in(root / "proc/meminfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(field + ":")) return std::stoll(line.substr(field.size() + 1)) * 1024;
  return 0;
}

// What `memory` is cut down to by a limit on this process and its like.
void respect(HostMemory& memory, int64_t limit, int64_t used) {
  if (limit < 0 || limit >= memory.total) return;
  memory.total = limit;
  memory.available = std::min(memory.available, limit - std::max<int64_t>(used, 0));
}

}  // namespace

HostMemory host_memory(const fs::path& root) {
  HostMemory memory{meminfo_bytes(root, "MemTotal"), meminfo_bytes(root, "MemAvailable")};
  const fs::path groups = root / "sys/fs/cgroup";
  respect(memory, number_in(groups / "memory.max"), number_in(groups / "memory.current"));
  respect(memory, number_in(groups / "memory/memory.limit_in_bytes"),
          number_in(groups / "memory/memory.usage_in_bytes"));
  return memory;
}

Processor processor(const fs::path& root) {
  Processor found;
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) found.cores = CPU_COUNT(&cores);
  std::ifstream in(root / "proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const auto value = line.find(": ");
    if (value == std::string::npos) continue;
    if (found.model.empty() && line.starts_with("model name")) found.model = line.substr(value + 2);
    if (!found.flags.empty() || !line.starts_with("flags")) continue;
    std::istringstream words(line.substr(value + 2));
    for (std::string word; words >> word;)
      for (const char* known : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"})
        if (word == known) found.flags.push_back(word);
  }
  return found;
}

int usable_cuda_devices() {
  const std::array<const char*, 3> traces = {"/proc/driver/nvidia/version", "/dev/nvidiactl",
                                             "/dev/dxg"};
  if (std::ranges::none_of(traces, [](const char* trace) { return fs::exists(trace); })) return 0;
  try {
    return CudaLibrary::beside_me().devices();
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace katman
