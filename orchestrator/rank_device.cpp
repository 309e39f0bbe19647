#include "orchestrator/rank_device.h"

#include <algorithm>
#include <chrono>

#include "core/cuda_library.h"
#include "orchestrator/bench/peak.h"
#include "orchestrator/doctor/host.h"

namespace katman {
namespace {

// What a device's context, libraries and their workspaces take besides tensors. Not measured.
constexpr int64_t cuda_overhead_bytes = int64_t{1} << 30;

}  // namespace

std::string device_of_rank(const std::string& kind, const LocalPlace& place) {
  if (kind == "auto") return device_of_rank(usable_cuda_devices() > 0 ? "cuda" : "cpu", place);
  if (kind != "cuda") return kind;
  const int devices = CudaLibrary::beside_me().devices();
  require(devices > 0,
          "device.kind is cuda, and the driver of this machine shows no device; use cpu");
  return fmt::format("cuda:{}", place.rank % devices);
}

int64_t memory_for_rank(const std::string& device, const LocalPlace& place) {
  const auto number = cuda_device_of(device);
  if (!number) return host_memory().available / place.ranks;
  const CudaLibrary library = CudaLibrary::beside_me();
  const int devices = library.devices();
  const int sharing = (place.ranks + devices - 1) / devices;
  return library.describe(*number).free_bytes / sharing - cuda_overhead_bytes;
}

TrainConfig fitting(const TrainConfig& config, const std::string& device, const LocalPlace& place) {
  const GptConfig& model = config.model;
  require_usage(
      !cuda_device_of(device) || model.head_dim() <= largest_cuda_head,
      "attention on {} takes heads of at most {} elements, and model.hidden / model.heads "
      "= {} / {} makes {}; use model.heads={} or more, or device.kind cpu",
      device, largest_cuda_head, model.hidden, model.heads, model.head_dim(),
      (model.hidden + largest_cuda_head - 1) / largest_cuda_head);
  require_fit(config, device, memory_for_rank(device, place), device);
  return config;
}

DeviceSpeed measured_speed(Backend& backend, DType dtype) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t elements = 16 << 20;
  const Tensor from = backend.zeros({elements}, DType::f32),
               to = backend.zeros({elements}, DType::f32);
  double best_s = 1e30;
  for (int turn = 0; turn < 5; ++turn) {
    const auto begin = Clock::now();
    backend.copy(from, to);
    backend.sync();
    best_s = std::min(best_s, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return {measured_peak_flops(backend, dtype), 2.0 * static_cast<double>(from.bytes()) / best_s};
}

}  // namespace katman
