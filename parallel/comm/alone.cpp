#include "parallel/comm/alone.h"

#include "core/sum.h"
#include "parallel/comm/slices.h"

namespace katman {
namespace {

class CommOfOne : public Comm {
 public:
  CommOfOne(DeviceQueue& queue, std::string name) : queue_(queue), name_(std::move(name)) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  const std::string& name() const override { return name_; }
  std::unique_ptr<Comm> split(int, int, const std::string& name) override {
    return make_comm_of_one(queue_, name);
  }

  Work all_reduce(const Tensor& t) override {
    require_summable(t.dtype(), name_ + ": all_reduce");
    return {};
  }
  Work all_gather(const Tensor& mine, const Tensor& all) override {
    require_slices(*this, mine, all, "all_gather");
    queue_.move(mine.raw(), all.raw(), mine.bytes());
    return {};
  }
  Work reduce_scatter(const Tensor& all, const Tensor& mine) override {
    require_summable(all.dtype(), name_ + ": reduce_scatter");
    require_slices(*this, mine, all, "reduce_scatter");
    queue_.move(all.raw(), mine.raw(), mine.bytes());
    return {};
  }
  Work send(const Tensor&, int to) override { fail("{}: there is no send to rank {}", name_, to); }
  Work recv(const Tensor&, int from) override {
    fail("{}: there is no recv from rank {}", name_, from);
  }
  void barrier() override {}

 private:
  DeviceQueue& queue_;
  std::string name_;
};

}  // namespace

std::unique_ptr<Comm> make_comm_of_one(DeviceQueue& queue, std::string name) {
  return std::make_unique<CommOfOne>(queue, std::move(name));
}

}  // namespace katman
