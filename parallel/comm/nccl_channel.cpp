#include "parallel/comm/nccl_channel.h"

#include <utility>

#include "parallel/comm/nccl_id.h"

namespace katman {

class NcclChannel::Waiting : public Work::State {
 public:
  Waiting(NcclWatch& watch, DeviceQueue& compute, std::shared_ptr<Job> job)
      : watch_(watch), compute_(compute), job_(std::move(job)) {}
  void wait() override {
    watch_.check();
    std::unique_lock lock(job_->mutex);
    const bool came =
        job_->changed.wait_for(lock, watch_.deadline(), [this] { return job_->enqueued; });
    require(came, "{} waited {} ms for its peer to come", job_->what, watch_.deadline().count());
    if (!job_->failure.empty()) throw Error(job_->failure);
    compute_.wait(job_->done);
  }

 private:
  NcclWatch& watch_;
  DeviceQueue& compute_;
  std::shared_ptr<Job> job_;
};

NcclChannel::NcclChannel(NcclWatch& watch, Comm& host, std::mutex& host_mutex, DeviceQueue& compute,
                         int peer, Way way)
    : watch_(watch),
      host_(host),
      host_mutex_(host_mutex),
      compute_(compute),
      peer_(peer),
      way_(way),
      queue_(compute.beside()),
      thread_([this](std::stop_token stop) { work(stop); }) {}

NcclChannel::~NcclChannel() {
  thread_.request_stop();
  thread_.join();
  if (comm_) watch_.retire(comm_);
}

Work NcclChannel::start(const Tensor& t, DeviceQueue::Mark ready, const std::string& what) {
  watch_.check();
  auto job = std::make_shared<Job>();
  job->t = t;
  job->ready = std::move(ready);
  job->what = what;
  const std::lock_guard lock(mutex_);
  jobs_.push_back(job);
  changed_.notify_one();
  return Work(std::make_unique<Waiting>(watch_, compute_, std::move(job)));
}

void NcclChannel::work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !jobs_.empty(); })) {
    const auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    std::string failure;
    try {
      if (!comm_) connect();
      enqueue(*job);
    } catch (const Error& error) {
      failure = error.what();
    }
    {
      const std::lock_guard job_lock(job->mutex);
      job->enqueued = true;
      job->failure = failure;
      job->t = Tensor();
      job->changed.notify_all();
    }
    lock.lock();
  }
}

void NcclChannel::connect() {
  const Tensor id = host_bytes(nccl_id_bytes);
  if (way_ == Way::sends) write_new_id(id);
  Work transfer;
  {
    const std::lock_guard lock(host_mutex_);
    transfer = way_ == Way::sends ? host_.send(id, peer_) : host_.recv(id, peer_);
  }
  transfer.wait();
  queue_->wait(nullptr);  // makes its device this thread's
  const int rank = way_ == Way::sends ? 0 : 1;
  nccl_api().check(nccl_api().init_rank(&comm_, 2, read_id(id), rank),
                   fmt::format("{}: meeting rank {}", host_.name(), peer_));
  watch_.add(comm_);
}

void NcclChannel::enqueue(Job& job) {
  const NcclApi& api = nccl_api();
  const auto stream = static_cast<cudaStream_t>(queue_->native());
  const auto elements = static_cast<size_t>(job.t.elements());
  const auto type = nccl_type(job.t.dtype());
  queue_->wait(job.ready);
  watch_.check();
  job.done = watch_.follow(job.what, comm_, *queue_, [&] {
    api.check(way_ == Way::sends ? api.send(job.t.raw(), elements, type, 1, comm_, stream)
                                 : api.recv(job.t.raw(), elements, type, 0, comm_, stream),
              job.what);
  });
}

}  // namespace katman
