#include "parallel/comm/nccl.h"

#include <map>
#include <utility>
#include <vector>

#include "core/sum.h"
#include "parallel/comm/alone.h"
#include "parallel/comm/nccl_channel.h"
#include "parallel/comm/nccl_id.h"
#include "parallel/comm/slices.h"

namespace katman {
namespace {

// What all groups of a rank share.
struct NcclWorld {
  NcclWorld(DeviceQueue& compute, Pool& pool, std::chrono::milliseconds deadline)
      : compute(compute), pool(pool), watch(deadline) {}
  DeviceQueue& compute;
  Pool& pool;
  NcclWatch watch;
};

class NcclComm : public Comm {
 public:
  NcclComm(std::unique_ptr<Comm> host, std::shared_ptr<NcclWorld> world)
      : host_(std::move(host)), world_(std::move(world)), queue_(world_->compute.beside()) {
    const Tensor ids = host_bytes(nccl_id_bytes * size());
    const Tensor mine = ids.slice(nccl_id_bytes * rank(), nccl_id_bytes);
    write_new_id(mine);
    host_->all_gather(mine, ids).wait();
    nccl_api().check(nccl_api().init_rank(&comm_, size(), read_id(ids), rank()),
                     name() + ": meeting the others");
    world_->watch.add(comm_);
  }
  ~NcclComm() override {
    channels_.clear();
    world_->watch.retire(comm_);
  }

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  const std::string& name() const override { return host_->name(); }
  std::unique_ptr<Comm> split(int color, int key, const std::string& name) override {
    auto part = host_->split(color, key, name);
    if (part->size() == 1) return make_comm_of_one(world_->compute, name);
    return std::make_unique<NcclComm>(std::move(part), world_);
  }

  Work all_reduce(const Tensor& t) override;
  Work all_gather(const Tensor& mine, const Tensor& all) override;
  Work reduce_scatter(const Tensor& all, const Tensor& mine) override;
  Work send(const Tensor& t, int to) override {
    return channel(to, NcclChannel::Way::sends)
        .start(t, world_->compute.mark(), numbered(fmt::format("send to rank {}", to)));
  }
  Work recv(const Tensor& t, int from) override {
    return channel(from, NcclChannel::Way::receives)
        .start(t, world_->compute.mark(), numbered(fmt::format("recv from rank {}", from)));
  }
  void barrier() override {
    world_->watch.check();
    host_->barrier();
  }

 private:
  // Orders the rank's computation after a transfer, and keeps what it uses alive until then.
  class Waiting : public Work::State {
   public:
    Waiting(std::shared_ptr<NcclWorld> world, DeviceQueue::Mark done, std::vector<Tensor> kept)
        : world_(std::move(world)), done_(std::move(done)), kept_(std::move(kept)) {}
    void wait() override {
      world_->watch.check();
      world_->compute.wait(done_);
    }

   private:
    std::shared_ptr<NcclWorld> world_;
    DeviceQueue::Mark done_;
    std::vector<Tensor> kept_;
  };

  std::string numbered(const std::string& operation) {
    return fmt::format("{}: {} number {}", name(), operation, number_++);
  }
  cudaStream_t stream() const { return static_cast<cudaStream_t>(queue_->native()); }

  // Runs `enqueue` on this group's queue, after what the rank has computed so far.
  template <class Enqueue>
  Work perform(const char* operation, std::vector<Tensor> kept, Enqueue enqueue) {
    world_->watch.check();
    const std::string what = numbered(operation);
    queue_->wait(world_->compute.mark());
    const auto done = world_->watch.follow(what, comm_, *queue_, [&] { enqueue(what); });
    return Work(std::make_unique<Waiting>(world_, done, std::move(kept)));
  }

  Tensor slice(const Tensor& t, int of) const {
    const int64_t begin = t.elements() * of / size(), end = t.elements() * (of + 1) / size();
    return t.flat().slice(begin, end - begin);
  }
  // Room for what each rank sends: [size, elements].
  Tensor scratch(DType type, int64_t elements) {
    const Shape shape = {size(), elements};
    return Tensor(world_->pool.take(shape.elements() * bytes_of(type)), 0, shape, type);
  }
  // One message to and one from every other rank, at once.
  template <class Outgoing, class Incoming>
  void exchange(const std::string& what, Outgoing outgoing, Incoming incoming);
  void add(const Tensor& mine, const Tensor& received, const Tensor& out);
  NcclChannel& channel(int peer, NcclChannel::Way way);

  std::unique_ptr<Comm> host_;
  std::shared_ptr<NcclWorld> world_;
  std::unique_ptr<DeviceQueue> queue_;
  ncclComm_t comm_ = nullptr;
  int64_t number_ = 0;
  std::mutex host_mutex_;
  std::map<std::pair<int, NcclChannel::Way>, std::unique_ptr<NcclChannel>> channels_;
};

template <class Outgoing, class Incoming>
void NcclComm::exchange(const std::string& what, Outgoing outgoing, Incoming incoming) {
  const NcclApi& api = nccl_api();
  api.check(api.group_start(), what);
  for (int step = 1; step < size(); ++step) {
    const int to = (rank() + step) % size(), from = (rank() + size() - step) % size();
    const Tensor out = outgoing(to), in = incoming(from);
    const auto type = nccl_type(out.dtype());
    api.check(api.send(out.raw(), static_cast<size_t>(out.elements()), type, to, comm_, stream()),
              what);
    api.check(api.recv(in.raw(), static_cast<size_t>(in.elements()), type, from, comm_, stream()),
              what);
  }
  api.check(api.group_end(), what);
}

// out = the sum over ranks, in their order, of my part and what was received from the others.
void NcclComm::add(const Tensor& mine, const Tensor& received, const Tensor& out) {
  std::vector<const std::byte*> parts;
  for (int from = 0; from < size(); ++from)
    parts.push_back(from == rank() ? mine.raw() : received.slice(from, 1).raw());
  queue_->sum(parts, mine.dtype(), mine.elements(), out.raw());
}

Work NcclComm::all_reduce(const Tensor& t) {
  require_summable(t.dtype(), name() + ": all_reduce");
  const Tensor mine = slice(t, rank());
  const Tensor received = scratch(t.dtype(), mine.elements());
  return perform("all_reduce", {t, received}, [&](const std::string& what) {
    exchange(
        what, [&](int to) { return slice(t, to); },
        [&](int from) { return received.slice(from, 1); });
    add(mine, received, mine);
    exchange(
        what, [&](int) { return mine; }, [&](int from) { return slice(t, from); });
  });
}

Work NcclComm::all_gather(const Tensor& mine, const Tensor& all) {
  require_slices(*this, mine, all, "all_gather");
  return perform("all_gather", {mine, all}, [&](const std::string& what) {
    nccl_api().check(
        nccl_api().all_gather(mine.raw(), all.raw(), static_cast<size_t>(mine.elements()),
                              nccl_type(mine.dtype()), comm_, stream()),
        what);
  });
}

Work NcclComm::reduce_scatter(const Tensor& all, const Tensor& mine) {
  require_summable(all.dtype(), name() + ": reduce_scatter");
  require_slices(*this, mine, all, "reduce_scatter");
  const Tensor received = scratch(all.dtype(), mine.elements());
  return perform("reduce_scatter", {all, mine, received}, [&](const std::string& what) {
    exchange(
        what, [&](int to) { return slice(all, to); },
        [&](int from) { return received.slice(from, 1); });
    add(slice(all, rank()), received, mine);
  });
}

NcclChannel& NcclComm::channel(int peer, NcclChannel::Way way) {
  require(peer >= 0 && peer < size() && peer != rank(), "{}: there is no transfer with rank {}",
          name(), peer);
  auto& found = channels_[{peer, way}];
  if (!found)
    found = std::make_unique<NcclChannel>(world_->watch, *host_, host_mutex_, world_->compute, peer,
                                          way);
  return *found;
}

}  // namespace

std::unique_ptr<Comm> make_nccl_comm(std::unique_ptr<Comm> host, DeviceQueue& compute, Pool& pool,
                                     std::chrono::milliseconds deadline) {
  return std::make_unique<NcclComm>(std::move(host),
                                    std::make_shared<NcclWorld>(compute, pool, deadline));
}

}  // namespace katman
