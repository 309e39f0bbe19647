#include "parallel/comm/staged.h"

#include <utility>
#include <vector>

#include "parallel/comm/alone.h"

namespace katman {
namespace {

class StagedComm : public Comm {
 public:
  StagedComm(std::unique_ptr<Comm> host, DeviceQueue& queue)
      : host_(std::move(host)), queue_(queue) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  const std::string& name() const override { return host_->name(); }
  std::unique_ptr<Comm> split(int color, int key, const std::string& name) override {
    return make_staged_comm(host_->split(color, key, name), queue_);
  }

  Work all_reduce(const Tensor& t) override {
    const Tensor staged = brought(t);
    Work work = host_->all_reduce(staged);
    return returning(std::move(work), {staged, t}, staged, t);
  }
  Work all_gather(const Tensor& mine, const Tensor& all) override {
    const Tensor staged = brought(mine), whole = staging_like(all);
    Work work = host_->all_gather(staged, whole);
    return returning(std::move(work), {staged, mine}, whole, all);
  }
  Work reduce_scatter(const Tensor& all, const Tensor& mine) override {
    const Tensor staged = brought(all), sum = staging_like(mine);
    Work work = host_->reduce_scatter(staged, sum);
    return returning(std::move(work), {staged, all}, sum, mine);
  }
  Work send(const Tensor& t, int to) override {
    const Tensor staged = brought(t);
    return returning(host_->send(staged, to), {staged}, {}, {});
  }
  Work recv(const Tensor& t, int from) override {
    const Tensor staged = staging_like(t);
    return returning(host_->recv(staged, from), {}, staged, t);
  }
  void barrier() override { host_->barrier(); }

 private:
  // Waits for the host's transfer, then moves what came to where it belongs.
  class Returning : public Work::State {
   public:
    Returning(DeviceQueue& queue, Work work, std::vector<Tensor> kept, Tensor staged, Tensor target)
        : queue_(queue),
          work_(std::move(work)),
          kept_(std::move(kept)),
          staged_(std::move(staged)),
          target_(std::move(target)) {}
    void wait() override {
      work_.wait();
      if (!target_) return;
      queue_.move(staged_.raw(), target_.raw(), target_.bytes());
      queue_.sync();  // the staging memory is somebody else's from here on
    }

   private:
    DeviceQueue& queue_;
    Work work_;
    std::vector<Tensor> kept_;  // alive until the transfer is done
    Tensor staged_, target_;
  };

  Work returning(Work work, std::vector<Tensor> kept, Tensor staged, Tensor target) {
    return Work(std::make_unique<Returning>(queue_, std::move(work), std::move(kept),
                                            std::move(staged), std::move(target)));
  }
  Tensor staging_like(const Tensor& t) {
    return Tensor(queue_.staging().take(t.bytes()), 0, t.shape(), t.dtype());
  }
  Tensor brought(const Tensor& t) {
    Tensor staged = staging_like(t);
    queue_.move(t.raw(), staged.raw(), t.bytes());
    queue_.sync();
    return staged;
  }

  std::unique_ptr<Comm> host_;
  DeviceQueue& queue_;
};

}  // namespace

std::unique_ptr<Comm> make_staged_comm(std::unique_ptr<Comm> host, DeviceQueue& queue) {
  if (host->size() == 1) return make_comm_of_one(queue, host->name());
  return std::make_unique<StagedComm>(std::move(host), queue);
}

}  // namespace katman
