#include "data_pipeline/build/in_order.h"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"

namespace katman {
namespace {

struct OpenLane {
  Lane pull;
  uint64_t pulled = 0, committed = 0;  // batches
  bool pulling = false, committing = false, ended = false;
  std::map<uint64_t, Commit> finished;  // worked on, not committed: [batch]

  bool done() const { return ended && !pulling && pulled == committed; }
};

// All state under one mutex; batches are large, so it is held for a vanishing share of the time.
class Runner {
 public:
  Runner(int threads, const NextLane& next_lane) : threads_(threads), next_lane_(next_lane) {}

  void run() {
    std::vector<std::thread> others;
    for (int i = 1; i < threads_; ++i) others.emplace_back([this] { serve(); });
    serve();
    for (auto& thread : others) thread.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    try {
      while (!failure_) {
        const auto lane = find_pullable();
        if (lane != lanes_.end()) {
          process(*lane, lock);
        } else if (!opening_ && !no_more_ && lanes_.size() < static_cast<size_t>(threads_)) {
          open_next(lock);
        } else if (no_more_ && lanes_.empty()) {
          return;
        } else {
          changed_.wait(lock);
          continue;
        }
        std::erase_if(lanes_, [](const OpenLane& lane) { return lane.done(); });
        changed_.notify_all();
      }
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      if (!failure_) failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  std::list<OpenLane>::iterator find_pullable() {
    return std::find_if(lanes_.begin(), lanes_.end(), [this](const OpenLane& lane) {
      const auto ahead = lane.pulled - lane.committed;
      return !lane.pulling && !lane.ended && ahead < 4 * static_cast<uint64_t>(threads_);
    });
  }

  void open_next(std::unique_lock<std::mutex>& lock) {
    opening_ = true;
    lock.unlock();
    Lane lane = next_lane_();
    lock.lock();
    opening_ = false;
    if (lane)
      lanes_.emplace_back().pull = std::move(lane);
    else
      no_more_ = true;
  }

  // One batch from pull to commit. The reference stays valid: a lane with an uncommitted batch is
  // not done, and list nodes do not move.
  void process(OpenLane& lane, std::unique_lock<std::mutex>& lock) {
    lane.pulling = true;
    lock.unlock();
    Work work = lane.pull();
    lock.lock();
    lane.pulling = false;
    lane.ended = !work;
    if (lane.ended) return;
    const uint64_t batch = lane.pulled++;
    changed_.notify_all();
    lock.unlock();
    Commit commit = work();
    work = nullptr;  // frees the batch
    lock.lock();
    lane.finished.emplace(batch, std::move(commit));
    commit_finished(lane, lock);
  }

  void commit_finished(OpenLane& lane, std::unique_lock<std::mutex>& lock) {
    if (lane.committing) return;  // that thread will see our batch too
    lane.committing = true;
    while (!failure_) {
      auto next = lane.finished.extract(lane.committed);
      if (next.empty()) break;
      lock.unlock();
      next.mapped()();
      next = {};  // frees the result
      lock.lock();
      ++lane.committed;
      changed_.notify_all();
    }
    lane.committing = false;
  }

  const int threads_;
  const NextLane& next_lane_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<OpenLane> lanes_;
  bool opening_ = false, no_more_ = false;
  std::exception_ptr failure_;
};

}  // namespace

void run_in_order(int threads, const NextLane& next_lane) {
  require(threads >= 1, "cannot work with {} threads", threads);
  Runner(threads, next_lane).run();
}

}  // namespace katman
