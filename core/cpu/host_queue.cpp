#include <cstring>

#include "core/cpu/host.h"
#include "core/device_queue.h"
#include "core/sum.h"

namespace katman {
namespace {

class HostQueue : public DeviceQueue {
 public:
  bool on_host() const override { return true; }
  Mark mark() override { return nullptr; }
  void wait(const Mark&) override {}
  void sync() override {}
  void move(const std::byte* from, std::byte* to, int64_t bytes) override {
    if (from != to) std::memmove(to, from, static_cast<size_t>(bytes));
  }
  void sum(std::span<const std::byte* const> parts, DType type, int64_t elements,
           std::byte* out) override {
    sum_parts(parts, type, elements, out);
  }
  Pool& staging() override { return pool_; }
  std::unique_ptr<DeviceQueue> beside() override { return std::make_unique<HostQueue>(); }

 private:
  Pool pool_ = make_host_pool();
};

}  // namespace

DeviceQueue& host_queue() {
  static HostQueue queue;
  return queue;
}

}  // namespace katman
