#include "orchestrator/control/link.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "core/host_name.h"
#include "core/log.h"
#include "orchestrator/control/channel.h"
#include "proto/control.grpc.pb.h"

namespace katman {
namespace {

using std::chrono::milliseconds;

// Wishes are asked for this often; a person does not notice it, and it costs nothing.
constexpr milliseconds wishes_every{250}, alive_every{2000};
constexpr milliseconds longest_call{2000};
constexpr size_t recent_steps = 200;

uint64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  uint64_t pages = 0;
  in >> pages >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void RecentSteps::add(double seconds) {
  if (seconds_.size() < recent_steps) {
    seconds_.push_back(seconds);
    return;
  }
  seconds_[next_] = seconds;
  next_ = (next_ + 1) % recent_steps;
}

double RecentSteps::p99() const {
  if (seconds_.empty()) return 0;
  std::vector<double> sorted = seconds_;
  const auto place = sorted.begin() + static_cast<int64_t>((sorted.size() - 1) * 99 / 100);
  std::ranges::nth_element(sorted, place);
  return *place;
}

Link::Link(const Reach& reach, const std::string& run, uint64_t generation, int rank,
           const Waiting& waiting)
    : reach_(reach), waiting_(waiting) {
  report_.set_run(run);
  report_.set_generation(generation);
  report_.mutable_rank()->set_rank(rank);
  report_.mutable_rank()->set_host(host_name());
  report_.mutable_rank()->set_process(getpid());
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

void Link::asked(int64_t requests) {
  const std::lock_guard lock(mutex_);
  report_.set_asked(static_cast<uint64_t>(requests));
}

void Link::took(double seconds, double waited_s) {
  const std::lock_guard lock(mutex_);
  recent_.add(seconds);
  report_.mutable_rank()->set_step_s(seconds);
  report_.mutable_rank()->set_waited_s(waited_s);
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

void Link::unsaved(const std::string& why) {
  const std::lock_guard lock(mutex_);
  report_.set_unsaved(why);
}

// Under the lock.
WorkerReport Link::report() {
  WorkerReport report = report_;
  report.set_p99_step_s(recent_.p99());
  RankView& rank = *report.mutable_rank();
  rank.set_step(report.step());
  rank.set_phase(report.phase());
  rank.set_memory_bytes(resident_bytes());
  const Waiting::Now now = waiting_.now();
  rank.set_waits_for(now.what);
  rank.set_waits_s(now.since_s);
  return report;
}

void Link::talk() try {
  const Channel channel(reach_);
  const auto stub = Workers::NewStub(channel.grpc());
  const milliseconds every = report_.rank().rank() == 0 ? wishes_every : alive_every;
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {
    last = over_;
    const WorkerReport now = report();
    lock.unlock();
    grpc::ClientContext context;
    channel.prepare(context);
    context.set_deadline(std::chrono::system_clock::now() + longest_call);
    WorkerWishes wished;
    const bool heard = stub->Report(&context, now, &wished).ok();
    lock.lock();
    if (heard) wished_ = wished;
    if (!last) changed_.wait_for(lock, every, [&] { return over_; });
  }
} catch (const Error& error) {
  spdlog::warn("the orchestrator hears nothing from rank {}: {}", report_.rank().rank(),
               error.what());
}

}  // namespace katman
