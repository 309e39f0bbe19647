// When a device gets to what was enqueued, by its own clock: the host, which enqueues and goes on,
// cannot tell.
#pragma once

#include <memory>

#include "core/device_queue.h"

namespace katman {

// What a DeviceQueue whose work goes on behind the host's back is besides.
class DeviceClock {
 public:
  // The time at which everything enqueued before it was done.
  class Moment {
   public:
    virtual ~Moment() = default;
  };
  using At = std::shared_ptr<const Moment>;

  virtual ~DeviceClock() = default;
  virtual At moment() = 0;  // enqueues
  // Blocks until both have come.
  virtual double seconds_between(const Moment& from, const Moment& to) = 0;
};

// That of the host, where work is done when a call returns.
DeviceClock& host_clock();
// The queue's own, or else the host's.
DeviceClock& clock_of(DeviceQueue& queue);

}  // namespace katman
