// Looks after what NCCL has in flight, since NCCL itself waits for ever.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "core/device_queue.h"
#include "parallel/comm/nccl_api.h"

namespace katman {

// All communicators of one rank's world. An error that NCCL reports, or an operation whose mark is
// not reached in time, aborts every one of them, which ends the kernels that wait on the device;
// check() throws why from then on. Thread-safe.
class NcclWatch {
 public:
  explicit NcclWatch(std::chrono::milliseconds deadline);

  void add(ncclComm_t comm);
  // Destroys it, unless it was aborted.
  void retire(ncclComm_t comm);
  // `what` is in flight on `comm` until `mark` is reached: "dp of rank 3: all_reduce number 17".
  void follow(const std::string& what, ncclComm_t comm, DeviceQueue::Mark mark);
  void check();
  std::chrono::milliseconds deadline() const { return deadline_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Flight {
    std::string what;
    ncclComm_t comm;
    DeviceQueue::Mark mark;
    Clock::time_point begin;
  };
  void look(std::stop_token stop);
  std::string error_of_a_comm() const;
  std::string late_flight() const;
  void abort_all(const std::string& why);

  const std::chrono::milliseconds deadline_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<ncclComm_t> comms_;
  std::list<Flight> flights_;
  std::string failure_;
  std::jthread watchman_;  // last: it uses all of the above
};

}  // namespace katman
