#include "parallel/comm/nccl_watch.h"

#include <algorithm>
#include <exception>

#include "core/error.h"

namespace katman {

NcclWatch::NcclWatch(std::chrono::milliseconds deadline)
    : deadline_(deadline), watchman_([this](std::stop_token stop) { look(stop); }) {}

void NcclWatch::add(ncclComm_t comm) {
  const std::lock_guard lock(mutex_);
  comms_.insert(comm);
}

void NcclWatch::retire(ncclComm_t comm) {
  bool waits = false;
  {
    const std::lock_guard lock(mutex_);
    if (comms_.erase(comm) == 0) return;
    flights_.remove_if([&](const auto& flight) {
      if (flight->comm != comm) return false;
      waits = waits || !flight->is_over();
      return true;
    });
  }
  if (waits && std::uncaught_exceptions() > 0)
    nccl_api().abort(comm);
  else
    nccl_api().destroy(comm);
}

std::shared_ptr<NcclWatch::Flight> NcclWatch::depart(const std::string& what, ncclComm_t comm) {
  const auto flight = std::make_shared<Flight>(Flight{what, comm, Clock::now()});
  const std::lock_guard lock(mutex_);
  flights_.push_back(flight);
  changed_.notify_one();
  return flight;
}

DeviceQueue::Mark NcclWatch::arrive(Flight& flight, DeviceQueue::Mark mark) {
  const std::lock_guard lock(mutex_);
  return flight.mark = std::move(mark);
}

void NcclWatch::check() {
  const std::lock_guard lock(mutex_);
  if (failure_.empty())
    if (const std::string error = error_of_a_comm(); !error.empty()) abort_all(error);
  if (!failure_.empty()) throw Error(failure_);
}

// What NCCL found by itself: a rank that is gone, a broken link. An operation that ended by that
// looks like one that is done. Call with the lock held.
std::string NcclWatch::error_of_a_comm() const {
  for (ncclComm_t comm : comms_) {
    ncclResult_t state = ncclSuccess;
    nccl_api().async_error(comm, &state);
    if (state == ncclSuccess || state == ncclInProgress) continue;
    const auto flight =
        std::ranges::find_if(flights_, [&](const auto& flight) { return flight->comm == comm; });
    return fmt::format("{}: NCCL says: {}",
                       flight == flights_.end() ? "a transfer that is done" : (*flight)->what,
                       nccl_api().error_string(state));
  }
  return {};
}

std::string NcclWatch::late_flight() const {
  for (const auto& flight : flights_)
    if (Clock::now() - flight->begin > deadline_)
      return fmt::format("{} waited {} ms for another rank", flight->what, deadline_.count());
  return {};
}

// Call with the lock held.
void NcclWatch::abort_all(const std::string& why) {
  failure_ = why;
  flights_.clear();
  for (ncclComm_t comm : comms_) nccl_api().abort(comm);
  comms_.clear();
}

void NcclWatch::look(std::stop_token stop) {
  constexpr std::chrono::milliseconds pause(20);
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !flights_.empty(); })) {
    std::string trouble = error_of_a_comm();
    if (trouble.empty()) {
      flights_.remove_if([](const auto& flight) { return flight->is_over(); });
      trouble = late_flight();
    }
    if (!trouble.empty()) abort_all(trouble);
    lock.unlock();
    std::this_thread::sleep_for(pause);
    lock.lock();
  }
}

}  // namespace katman
