// A group that looks at the clock: how long a rank stood still for the others.
#pragma once

#include <memory>
#include <string>

#include "core/comm.h"

namespace katman {

// Passes every operation on and adds the time that the caller spent in it, and in waiting for it,
// to one sum for the group and all that are split off it. On a device whose transfers are ordered
// behind its work (CUDA), waiting does not hold the host, and the sum says nothing about the
// device. Costs two looks at the clock per operation. One rank's, used by one thread.
class TimedComm : public Comm {
 public:
  explicit TimedComm(Comm& comm);  // which outlives this
  ~TimedComm() override;

  // Seconds since the last call.
  double take_waited_s();

  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  const std::string& name() const override { return comm_.name(); }
  std::unique_ptr<Comm> split(int color, int key, const std::string& name) override;
  Work all_reduce(const Tensor& t) override;
  Work all_gather(const Tensor& mine, const Tensor& all) override;
  Work reduce_scatter(const Tensor& all, const Tensor& mine) override;
  Work send(const Tensor& t, int to) override;
  Work recv(const Tensor& t, int from) override;
  void barrier() override;

 private:
  TimedComm(std::unique_ptr<Comm> part, std::shared_ptr<double> waited_s);
  template <class Start>
  Work timed(Start start);

  std::unique_ptr<Comm> owned_;  // of a group that was split off
  Comm& comm_;
  std::shared_ptr<double> waited_s_;
};

}  // namespace katman
