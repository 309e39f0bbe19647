// One direction between two ranks, over NCCL.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/comm.h"
#include "parallel/comm/nccl_watch.h"

namespace katman {

// A communicator of two with a queue and a thread of its own. NCCL matches a send with its receive
// when both are on their devices, and makes a communicator when both ranks come for it: here either
// may come first, and the rank goes on meanwhile.
class NcclChannel {
 public:
  enum class Way { sends, receives };

  // `host` and `host_mutex`: the group over host memory, whose transfers start under the mutex; the
  // communicator's name travels there. All referenced objects outlive the channel.
  NcclChannel(NcclWatch& watch, Comm& host, std::mutex& host_mutex, DeviceQueue& compute, int peer,
              Way way);
  ~NcclChannel();

  // Transfers t behind `ready`, after all that was started before.
  Work start(const Tensor& t, DeviceQueue::Mark ready, const std::string& what);

 private:
  struct Job {
    Tensor t;
    DeviceQueue::Mark ready;
    std::string what;
    std::mutex mutex;
    std::condition_variable changed;
    bool enqueued = false;
    std::string failure;
    DeviceQueue::Mark done;
  };
  class Waiting;
  void work(std::stop_token stop);
  void connect();
  void enqueue(Job& job);

  NcclWatch& watch_;
  Comm& host_;
  std::mutex& host_mutex_;
  DeviceQueue& compute_;
  const int peer_;
  const Way way_;
  std::unique_ptr<DeviceQueue> queue_;
  ncclComm_t comm_ = nullptr;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace katman
