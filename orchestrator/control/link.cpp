#include "orchestrator/control/link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>

#include "proto/control.grpc.pb.h"

namespace katman {
namespace {

using std::chrono::milliseconds;

// Wishes are asked for this often; a person does not notice it, and it costs nothing.
constexpr milliseconds every{250};
constexpr milliseconds longest_call{2000};

}  // namespace

Link::Link(const std::string& address, const std::string& run, uint64_t generation)
    : address_(address) {
  report_.set_run(run);
  report_.set_generation(generation);
  thread_ = std::thread([this] { talk(); });
}

Link::~Link() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Link::at(Phase phase, int64_t steps_done) {
  const std::lock_guard lock(mutex_);
  report_.set_phase(phase);
  report_.set_step(static_cast<uint64_t>(steps_done));
}

void Link::took(double seconds) {
  const std::lock_guard lock(mutex_);
  // The slowest, forgotten over some hundred steps.
  decaying_slowest_s_ = std::max(seconds, 0.99 * decaying_slowest_s_);
  report_.set_slowest_step_s(decaying_slowest_s_);
}

Wishes Link::wishes() {
  const std::lock_guard lock(mutex_);
  saves_told_ = wished_.saves_wanted();
  return {.stop = wished_.stop(), .save = saves_told_ > report_.saves_taken()};
}

void Link::saved(int64_t steps_done) {
  const std::lock_guard lock(mutex_);
  report_.set_saves_taken(std::max(saves_told_, report_.saves_taken()));
  report_.set_save_step(static_cast<uint64_t>(steps_done));
}

void Link::talk() {
  const auto stub =
      Workers::NewStub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {
    last = over_;
    const WorkerReport report = report_;
    lock.unlock();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + longest_call);
    WorkerWishes wished;
    const bool heard = stub->Report(&context, report, &wished).ok();
    lock.lock();
    if (heard) wished_ = wished;
    if (!last) changed_.wait_for(lock, every, [&] { return over_; });
  }
}

}  // namespace katman
