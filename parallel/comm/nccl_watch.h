// Looks after what NCCL has in flight, since NCCL itself waits for ever.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "core/device_queue.h"
#include "core/error.h"
#include "parallel/comm/nccl_api.h"

namespace katman {

// All communicators of one rank's world. An error that NCCL reports, or an operation whose mark is
// not reached in time, aborts every one of them, which ends the kernels that wait on the device;
// check() throws why from then on. Thread-safe.
class NcclWatch {
 public:
  explicit NcclWatch(std::chrono::milliseconds deadline);

  void add(ncclComm_t comm);
  // Destroys it, unless it was aborted. While an error unwinds, others may never come to what is in
  // flight, and it is aborted.
  void retire(ncclComm_t comm);
  // `what` is in flight on `comm`: "dp of rank 3: all_reduce number 17". From before it is
  // enqueued, for NCCL may wait for the other rank there, until the mark behind it is reached.
  // Calls enqueue(), which puts `what` on `queue`, and returns its mark.
  template <class Enqueue>
  DeviceQueue::Mark follow(const std::string& what, ncclComm_t comm, DeviceQueue& queue,
                           Enqueue enqueue) {
    const auto flight = depart(what, comm);
    try {
      enqueue();
    } catch (const Error&) {
      check();  // an abort ends the call, too: why there was one says more
      throw;
    }
    return arrive(*flight, queue.mark());
  }
  void check();
  std::chrono::milliseconds deadline() const { return deadline_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Flight {
    std::string what;
    ncclComm_t comm;
    Clock::time_point begin;
    DeviceQueue::Mark mark = {};
    bool is_over() const { return mark && mark->reached(); }
  };
  std::shared_ptr<Flight> depart(const std::string& what, ncclComm_t comm);
  DeviceQueue::Mark arrive(Flight& flight, DeviceQueue::Mark mark);
  void look(std::stop_token stop);
  std::string error_of_a_comm() const;
  std::string late_flight() const;
  void abort_all(const std::string& why);

  const std::chrono::milliseconds deadline_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<ncclComm_t> comms_;
  std::list<std::shared_ptr<Flight>> flights_;
  std::string failure_;
  std::jthread watchman_;  // last: it uses all of the above
};

}  // namespace katman
