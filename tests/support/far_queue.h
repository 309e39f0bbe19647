#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "core/device_clock.h"
#include "core/device_queue.h"

namespace katman::testing {

// Work in order on a thread of its own, and what communicators may ask of it. What an operation
// throws is thrown again by the next sync().
class FarQueue : public DeviceQueue, public DeviceClock {
 public:
  FarQueue();
  ~FarQueue() override;  // after the work that is queued

  void enqueue(std::function<void()> work);

  bool on_host() const override { return false; }
  Mark mark() override;
  void wait(const Mark& mark) override;
  void sync() override;
  void move(const std::byte* from, std::byte* to, int64_t bytes) override;
  void sum(std::span<const std::byte* const> parts, DType type, int64_t elements,
           std::byte* out) override;
  Pool& staging() override { return staging_; }
  std::unique_ptr<DeviceQueue> beside() override { return std::make_unique<FarQueue>(); }
  void* native() override { return this; }
  At moment() override;
  double seconds_between(const Moment& from, const Moment& to) override;

 private:
  void work(std::stop_token stop);

  Pool staging_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> waiting_;
  std::string failure_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace katman::testing
