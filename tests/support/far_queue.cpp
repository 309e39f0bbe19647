#include "tests/support/far_queue.h"

#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "core/cpu/host.h"
#include "core/sum.h"
#include "tests/support/far_memory.h"

namespace katman::testing {
namespace {

class FarPoint : public DeviceQueue::Point {
 public:
  bool reached() const override {
    const std::lock_guard lock(mutex_);
    return reached_;
  }
  void reach() {
    const std::lock_guard lock(mutex_);
    reached_ = true;
    changed_.notify_all();
  }
  void wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool reached_ = false;
};

struct FarMoment : DeviceClock::Moment {
  FarPoint come;
  std::chrono::steady_clock::time_point at = {};
};

}  // namespace

FarQueue::FarQueue()
    : staging_(make_host_pool()), thread_([this](std::stop_token stop) { work(stop); }) {}

FarQueue::~FarQueue() {
  mark();
  thread_.request_stop();
}

void FarQueue::enqueue(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(work));
  changed_.notify_all();
}

void FarQueue::work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !waiting_.empty(); }) || !waiting_.empty()) {
    const auto next = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    std::string failure;
    try {
      next();
    } catch (const std::exception& error) {
      failure = error.what();
    }
    lock.lock();
    if (failure_.empty()) failure_ = failure;
  }
}

DeviceQueue::Mark FarQueue::mark() {
  auto point = std::make_shared<FarPoint>();
  enqueue([point] { point->reach(); });
  return point;
}

void FarQueue::wait(const Mark& mark) {
  if (mark) enqueue([mark] { static_cast<const FarPoint&>(*mark).wait(); });
}

DeviceClock::At FarQueue::moment() {
  auto moment = std::make_shared<FarMoment>();
  enqueue([moment] {
    moment->at = std::chrono::steady_clock::now();
    moment->come.reach();
  });
  return moment;
}

double FarQueue::seconds_between(const Moment& from, const Moment& to) {
  const auto time = [](const Moment& moment) {
    const auto& far = static_cast<const FarMoment&>(moment);
    far.come.wait();
    return far.at;
  };
  return std::chrono::duration<double>(time(to) - time(from)).count();
}

void FarQueue::sync() {
  static_cast<const FarPoint&>(*mark()).wait();
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw Error(std::exchange(failure_, {}));
}

void FarQueue::move(const std::byte* from, std::byte* to, int64_t bytes) {
  const FarMemory& memory = FarMemory::of_process();
  enqueue([from = memory.near(from), to = memory.near(to), bytes] {
    if (bytes > 0) std::memmove(to, from, static_cast<size_t>(bytes));  // of nothing, null may be
  });
}

void FarQueue::sum(std::span<const std::byte* const> parts, DType type, int64_t elements,
                   std::byte* out) {
  const FarMemory& memory = FarMemory::of_process();
  std::vector<const std::byte*> near;
  for (const std::byte* part : parts) near.push_back(memory.near(part));
  enqueue([near, type, elements, out = memory.near(out)] { sum_parts(near, type, elements, out); });
}

}  // namespace katman::testing
