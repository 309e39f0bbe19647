#include "core/device_clock.h"

#include <chrono>

namespace katman {
namespace {

class HostClock : public DeviceClock {
 public:
  At moment() override { return std::make_shared<Time>(); }
  double seconds_between(const Moment& from, const Moment& to) override {
    return std::chrono::duration<double>(static_cast<const Time&>(to).at -
                                         static_cast<const Time&>(from).at)
        .count();
  }

 private:
  struct Time : Moment {
    std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now();
  };
};

}  // namespace

DeviceClock& host_clock() {
  static HostClock clock;
  return clock;
}

DeviceClock& clock_of(DeviceQueue& queue) {
  auto* own = dynamic_cast<DeviceClock*>(&queue);
  return own ? *own : host_clock();
}

}  // namespace katman
