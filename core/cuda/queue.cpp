#include "core/cuda/queue.h"

#include <fmt/format.h>

#include <mutex>
#include <vector>

#include "core/cuda/check.h"
#include "core/cuda/kernels/sum.h"
#include "core/error.h"

namespace katman {
namespace {

Pool make_pinned_pool(const CudaDevice& device) {
  return Pool(
      [device](int64_t bytes) {
        device.use();
        void* block = nullptr;
        cuda_check(cudaMallocHost(&block, static_cast<size_t>(bytes)), "take pinned host memory");
        return static_cast<std::byte*>(block);
      },
      // The process may be ending, and CUDA may have ended before.
      [](std::byte* block) { (void)cudaFreeHost(block); });
}

template <class T>
void sum_as(cudaStream_t stream, std::span<const std::byte* const> parts, int64_t elements,
            std::byte* out) {
  kernels::Parts<T> typed;
  require(parts.size() <= typed.most, "a device adds at most {} parts at once, not {}", typed.most,
          parts.size());
  for (const std::byte* part : parts) typed.part[typed.count++] = reinterpret_cast<const T*>(part);
  kernels::sum_parts(stream, typed, reinterpret_cast<T*>(out), elements);
}

}  // namespace

struct CudaQueue::Events {
  const bool timed;
  std::mutex mutex = {};
  std::vector<std::unique_ptr<Event>> idle = {};

  std::unique_ptr<Event> take() {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return std::make_unique<Event>(timed);
    auto event = std::move(idle.back());
    idle.pop_back();
    return event;
  }
  void give_back(std::unique_ptr<Event> event) {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(event));
  }
};

// An event in a stream, for as long as somebody may ask for it.
class CudaQueue::Recorded {
 public:
  Recorded(std::shared_ptr<Events> events, cudaStream_t stream)
      : events_(std::move(events)), event_(events_->take()) {
    event_->record(stream);
  }
  ~Recorded() { events_->give_back(std::move(event_)); }
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;
  const Event& operator*() const { return *event_; }

 private:
  std::shared_ptr<Events> events_;
  std::unique_ptr<Event> event_;
};

struct CudaQueue::CudaPoint : DeviceQueue::Point {
  CudaPoint(const CudaDevice& device, std::shared_ptr<Events> events, cudaStream_t stream)
      : device(device), event(std::move(events), stream) {}
  // A thread that asks without a device of its own would occupy the first one.
  bool reached() const override {
    device.use();
    return cudaEventQuery(*event) != cudaErrorNotReady;
  }
  CudaDevice device;
  Recorded event;
};

struct CudaQueue::CudaMoment : DeviceClock::Moment {
  CudaMoment(std::shared_ptr<Events> events, cudaStream_t stream)
      : event(std::move(events), stream) {}
  Recorded event;
};

CudaQueue::CudaQueue(const CudaDevice& device)
    : device_((device.use(), device)),
      own_(std::in_place),
      stream_(*own_),
      staging_(make_pinned_pool(device_)),
      events_(std::make_shared<Events>(false)),
      timed_events_(std::make_shared<Events>(true)) {}

CudaQueue::CudaQueue(const CudaDevice& device, cudaStream_t stream)
    : device_(device),
      stream_(stream),
      staging_(make_pinned_pool(device_)),
      events_(std::make_shared<Events>(false)),
      timed_events_(std::make_shared<Events>(true)) {}

DeviceQueue::Mark CudaQueue::mark() {
  device_.use();
  return std::make_shared<CudaPoint>(device_, events_, stream_);
}

DeviceClock::At CudaQueue::moment() {
  device_.use();
  return std::make_shared<CudaMoment>(timed_events_, stream_);
}

double CudaQueue::seconds_between(const Moment& from, const Moment& to) {
  device_.use();
  const Event &begin = *static_cast<const CudaMoment&>(from).event,
              &end = *static_cast<const CudaMoment&>(to).event;
  return end.ms_since(begin) * 1e-3;
}

void CudaQueue::wait(const Mark& mark) {
  device_.use();
  if (mark) (*static_cast<const CudaPoint&>(*mark).event).hold_back(stream_);
}

void CudaQueue::sync() {
  device_.use();
  cuda_check(cudaStreamSynchronize(stream_), "finish the queued work");
}

void CudaQueue::move(const std::byte* from, std::byte* to, int64_t bytes) {
  if (from == to || bytes == 0) return;
  device_.use();
  cuda_check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream_),
             "move a tensor");
}

void CudaQueue::sum(std::span<const std::byte* const> parts, DType type, int64_t elements,
                    std::byte* out) {
  if (parts.size() == 1) return move(parts[0], out, elements * bytes_of(type));
  device_.use();
  if (type == DType::f32)
    sum_as<float>(stream_, parts, elements, out);
  else
    sum_as<bf16>(stream_, parts, elements, out);
}

std::string CudaQueue::device() const {
  cudaDeviceProp properties = {};
  cuda_check(cudaGetDeviceProperties(&properties, device_.number), "describe a CUDA device");
  std::string text = "GPU-";
  for (const char byte : properties.uuid.bytes)
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

}  // namespace katman
