// A CUDA stream as communicators see it.
#pragma once

#include <memory>
#include <optional>

#include "core/cuda/device.h"
#include "core/device_clock.h"
#include "core/device_queue.h"

namespace katman {

class CudaQueue : public DeviceQueue, public DeviceClock {
 public:
  explicit CudaQueue(const CudaDevice& device);              // a stream of its own
  CudaQueue(const CudaDevice& device, cudaStream_t stream);  // one that outlives it

  bool on_host() const override { return false; }
  Mark mark() override;
  void wait(const Mark& mark) override;
  void sync() override;
  void move(const std::byte* from, std::byte* to, int64_t bytes) override;
  void sum(std::span<const std::byte* const> parts, DType type, int64_t elements,
           std::byte* out) override;
  Pool& staging() override { return staging_; }
  std::unique_ptr<DeviceQueue> beside() override { return std::make_unique<CudaQueue>(device_); }
  void* native() override { return stream_; }
  std::string device() const override;
  At moment() override;
  double seconds_between(const Moment& from, const Moment& to) override;

 private:
  // Events that were reached are used again: creating one takes as long as a kernel.
  struct Events;
  class Recorded;
  struct CudaPoint;
  struct CudaMoment;

  CudaDevice device_;
  std::optional<Stream> own_;
  cudaStream_t stream_;
  Pool staging_;
  std::shared_ptr<Events> events_, timed_events_;
};

}  // namespace katman
