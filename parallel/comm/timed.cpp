#include "parallel/comm/timed.h"

#include <chrono>

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

// Adds the time between its birth and its end.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum_s) : sum_s_(sum_s), begin_(Clock::now()) {}
  ~Stopwatch() { sum_s_ += std::chrono::duration<double>(Clock::now() - begin_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& sum_s_;
  const Clock::time_point begin_;
};

class TimedWork : public Work::State {
 public:
  TimedWork(Work work, std::shared_ptr<double> waited_s)
      : work_(std::move(work)), waited_s_(std::move(waited_s)) {}
  void wait() override {
    const Stopwatch watch(*waited_s_);
    work_.wait();
  }

 private:
  Work work_;
  std::shared_ptr<double> waited_s_;
};

}  // namespace

TimedComm::TimedComm(Comm& comm) : comm_(comm), waited_s_(std::make_shared<double>(0)) {}
TimedComm::TimedComm(std::unique_ptr<Comm> part, std::shared_ptr<double> waited_s)
    : owned_(std::move(part)), comm_(*owned_), waited_s_(std::move(waited_s)) {}
TimedComm::~TimedComm() = default;

double TimedComm::take_waited_s() { return std::exchange(*waited_s_, 0); }

template <class Start>
Work TimedComm::timed(Start start) {
  const Stopwatch watch(*waited_s_);
  return Work(std::make_unique<TimedWork>(start(), waited_s_));
}

std::unique_ptr<Comm> TimedComm::split(int color, int key, const std::string& name) {
  return std::unique_ptr<Comm>(new TimedComm(comm_.split(color, key, name), waited_s_));
}
Work TimedComm::all_reduce(const Tensor& t) {
  return timed([&] { return comm_.all_reduce(t); });
}
Work TimedComm::all_gather(const Tensor& mine, const Tensor& all) {
  return timed([&] { return comm_.all_gather(mine, all); });
}
Work TimedComm::reduce_scatter(const Tensor& all, const Tensor& mine) {
  return timed([&] { return comm_.reduce_scatter(all, mine); });
}
Work TimedComm::send(const Tensor& t, int to) {
  return timed([&] { return comm_.send(t, to); });
}
Work TimedComm::recv(const Tensor& t, int from) {
  return timed([&] { return comm_.recv(t, from); });
}
void TimedComm::barrier() {
  const Stopwatch watch(*waited_s_);
  comm_.barrier();
}

}  // namespace katman
