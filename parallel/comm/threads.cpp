#include "parallel/comm/threads.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <tuple>
#include <vector>

#include "core/sum.h"
#include "parallel/comm/slices.h"

namespace katman {
namespace {

// What one rank brings to a collective.
struct Call {
  const char* operation = "";
  DType type = DType::u8;
  int64_t elements = 0;  // of the whole, equal on all ranks
  Tensor in = {}, out = {};
  DeviceQueue::Mark ready = {};  // what was enqueued before
  int color = 0, key = 0;        // split

  bool matches(const Call& other) const {
    return std::string_view(operation) == other.operation && type == other.type &&
           elements == other.elements;
  }
  std::string describe() const {
    return fmt::format("{} of {} [{}]", operation, name_of(type), elements);
  }
};

struct Group;

// One collective in flight.
struct Meeting {
  std::vector<Call> calls;    // [rank]
  std::vector<bool> present;  // [rank]
  size_t arrived = 0;
  bool done = false;
  DeviceQueue::Mark result;                    // valid when done: what waiting ranks come after
  std::vector<std::shared_ptr<Group>> groups;  // [rank], result of split
};

// One half of a transfer between two ranks, waiting for the other.
struct Half {
  Tensor tensor;
  DeviceQueue::Mark ready;
  bool done = false;
  DeviceQueue::Mark result = {};
};
using Halves = std::deque<std::shared_ptr<Half>>;

struct Group {
  Group(std::vector<int> members, std::chrono::milliseconds deadline)
      : members(std::move(members)), deadline(deadline) {}

  const std::vector<int> members;  // [rank], numbers in the world
  const std::chrono::milliseconds deadline;
  std::mutex mutex;
  std::condition_variable changed;
  std::string failure;                                   // not empty: every wait throws it
  std::map<int64_t, std::shared_ptr<Meeting>> meetings;  // [sequence number]
  std::map<std::pair<int, int>, Halves> sends, recvs;    // [from, to]

  int size() const { return static_cast<int>(members.size()); }
  void abort(const std::string& why) {
    const std::lock_guard lock(mutex);
    if (failure.empty()) failure = why;
    changed.notify_all();
  }
  // Call with the lock held.
  [[noreturn]] void fail_all(const std::string& why) {
    failure = why;
    changed.notify_all();
    throw Error(why);
  }
  // Waits until `done`; `missing` says who has not come, for the message.
  template <class Missing>
  void wait(const bool& done, const std::string& what, Missing missing) {
    std::unique_lock lock(mutex);
    const bool came = changed.wait_for(lock, deadline, [&] { return done || !failure.empty(); });
    if (done) return;
    require(!came, "{} was broken off: {}", what, failure);
    fail("{} waited {} ms for {}", what, deadline.count(), missing());
  }
};

std::string ranks_missing(const Meeting& meeting) {
  std::vector<size_t> missing;
  for (size_t rank = 0; rank < meeting.present.size(); ++rank)
    if (!meeting.present[rank]) missing.push_back(rank);
  return fmt::format("rank {} of {}", fmt::join(missing, ", "), meeting.present.size());
}

std::vector<const std::byte*> inputs(const Meeting& meeting, int64_t offset_bytes) {
  std::vector<const std::byte*> parts;
  for (const Call& call : meeting.calls) parts.push_back(call.in.raw() + offset_bytes);
  return parts;
}

void reduce_all(Meeting& meeting, DeviceQueue& queue) {
  const Call& first = meeting.calls[0];
  queue.sum(inputs(meeting, 0), first.type, first.elements, first.out.raw());
  for (const Call& call : std::span(meeting.calls).subspan(1))
    queue.move(first.out.raw(), call.out.raw(), first.out.bytes());
}

void gather_all(Meeting& meeting, DeviceQueue& queue) {
  int64_t offset = 0;
  for (const Call& from : meeting.calls) {
    for (const Call& to : meeting.calls)
      queue.move(from.in.raw(), to.out.raw() + offset, from.in.bytes());
    offset += from.in.bytes();
  }
}

// Slice r goes into rank r's `mine`, which may lie in its `all`: only at slice r, or outside of
// what other ranks' slices still read.
void reduce_slices(Meeting& meeting, DeviceQueue& queue) {
  int64_t offset = 0;
  for (const Call& to : meeting.calls) {
    queue.sum(inputs(meeting, offset), to.type, to.out.elements(), to.out.raw());
    offset += to.out.bytes();
  }
}

}  // namespace

struct ThreadWorld::State {
  std::mutex mutex;
  std::vector<std::weak_ptr<Group>> groups;
  std::string failure;
  std::shared_ptr<Group> world;

  std::shared_ptr<Group> make(std::vector<int> members, std::chrono::milliseconds deadline) {
    auto group = std::make_shared<Group>(std::move(members), deadline);
    const std::lock_guard lock(mutex);
    group->failure = failure;
    groups.push_back(group);
    return group;
  }
};

namespace {

void form_groups(Meeting& meeting, const Group& parent, ThreadWorld::State& world) {
  std::vector<int> order(meeting.calls.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](int rank) {
    const Call& call = meeting.calls[static_cast<size_t>(rank)];
    return std::tuple(call.color, call.key);
  });
  meeting.groups.resize(order.size());
  for (auto begin = order.begin(); begin != order.end();) {
    const int color = meeting.calls[static_cast<size_t>(*begin)].color;
    const auto end = std::find_if(begin, order.end(), [&](int rank) {
      return meeting.calls[static_cast<size_t>(rank)].color != color;
    });
    std::vector<int> members;
    for (auto it = begin; it != end; ++it)
      members.push_back(parent.members[static_cast<size_t>(*it)]);
    const auto group = world.make(members, parent.deadline);
    for (; begin != end; ++begin) meeting.groups[static_cast<size_t>(*begin)] = group;
  }
}

class ThreadComm : public Comm {
 public:
  ThreadComm(std::shared_ptr<ThreadWorld::State> world, std::shared_ptr<Group> group,
             DeviceQueue& queue, int rank, std::string name)
      : world_(std::move(world)),
        group_(std::move(group)),
        queue_(queue),
        rank_(rank),
        name_(std::move(name)) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  const std::string& name() const override { return name_; }

  std::unique_ptr<Comm> split(int color, int key, const std::string& name) override {
    Call call{.operation = "split"};
    call.color = color;
    call.key = key;
    auto joined = join(std::move(call));
    joined.work.wait();
    auto group = joined.meeting->groups[static_cast<size_t>(rank_)];
    const int me = group_->members[static_cast<size_t>(rank_)];
    const auto place = std::ranges::find(group->members, me) - group->members.begin();
    return std::make_unique<ThreadComm>(world_, std::move(group), queue_, static_cast<int>(place),
                                        name);
  }

  Work all_reduce(const Tensor& t) override {
    require_summable(t.dtype(), name_ + ": all_reduce");
    return join({"all_reduce", t.dtype(), t.elements(), t, t}).work;
  }
  Work all_gather(const Tensor& mine, const Tensor& all) override {
    require_slices(*this, mine, all, "all_gather");
    return join({"all_gather", all.dtype(), all.elements(), mine, all}).work;
  }
  Work reduce_scatter(const Tensor& all, const Tensor& mine) override {
    require_summable(all.dtype(), name_ + ": reduce_scatter");
    require_slices(*this, mine, all, "reduce_scatter");
    return join({"reduce_scatter", all.dtype(), all.elements(), all, mine}).work;
  }
  void barrier() override { join({.operation = "barrier"}).work.wait(); }

  Work send(const Tensor& t, int to) override { return transfer(t, to, true); }
  Work recv(const Tensor& t, int from) override { return transfer(t, from, false); }

 private:
  struct Joined {
    Work work;
    std::shared_ptr<Meeting> meeting;
  };

  Joined join(Call call) {
    call.ready = queue_.mark();
    const int64_t number = next_meeting_++;
    const std::string what = fmt::format("{}: {} number {}", name_, call.operation, number);
    const std::lock_guard lock(group_->mutex);
    require(group_->failure.empty(), "{} was broken off: {}", what, group_->failure);
    auto& slot = group_->meetings[number];
    if (!slot) {
      slot = std::make_shared<Meeting>();
      slot->calls.resize(group_->members.size());
      slot->present.resize(group_->members.size());
    }
    const auto meeting = slot;
    check_against_first(*meeting, call, what);
    meeting->calls[static_cast<size_t>(rank_)] = std::move(call);
    meeting->present[static_cast<size_t>(rank_)] = true;
    if (++meeting->arrived == group_->members.size()) {
      carry_out(*meeting);
      group_->meetings.erase(number);
      group_->changed.notify_all();
    }
    return {Work(std::make_unique<Waiting>(group_, queue_, meeting, what)), meeting};
  }

  void check_against_first(const Meeting& meeting, const Call& call, const std::string& what) {
    const auto first = std::ranges::find(meeting.present, true) - meeting.present.begin();
    if (meeting.arrived == 0 || call.matches(meeting.calls[static_cast<size_t>(first)])) return;
    group_->fail_all(fmt::format("{}: rank {} calls {} while rank {} calls {}", what, rank_,
                                 call.describe(), first,
                                 meeting.calls[static_cast<size_t>(first)].describe()));
  }

  void carry_out(Meeting& meeting) {
    for (const Call& call : meeting.calls) queue_.wait(call.ready);
    const std::string_view operation = meeting.calls[0].operation;
    if (operation == "all_reduce") reduce_all(meeting, queue_);
    if (operation == "all_gather") gather_all(meeting, queue_);
    if (operation == "reduce_scatter") reduce_slices(meeting, queue_);
    if (operation == "split") form_groups(meeting, *group_, *world_);
    meeting.result = queue_.mark();
    for (Call& call : meeting.calls) call.in = call.out = Tensor();
    meeting.done = true;
  }

  Work transfer(const Tensor& t, int peer, bool sending) {
    const char* verb = sending ? "send to" : "recv from";
    require(peer >= 0 && peer < size() && peer != rank_, "{}: there is no {} rank {}", name_, verb,
            peer);
    const auto pair = sending ? std::pair(rank_, peer) : std::pair(peer, rank_);
    const int64_t number = (sending ? sent_ : received_)[peer]++;
    const std::string what = fmt::format("{}: {} rank {} number {}", name_, verb, peer, number);
    const std::lock_guard lock(group_->mutex);
    require(group_->failure.empty(), "{} was broken off: {}", what, group_->failure);
    auto mine = std::make_shared<Half>(Half{t, queue_.mark()});
    Halves& others = (sending ? group_->recvs : group_->sends)[pair];
    if (others.empty()) {
      (sending ? group_->sends : group_->recvs)[pair].push_back(mine);
    } else {
      const auto other = others.front();
      others.pop_front();
      move(sending ? *mine : *other, sending ? *other : *mine, what);
      group_->changed.notify_all();
    }
    return Work(std::make_unique<Waiting>(group_, queue_, mine, what, peer));
  }

  void move(Half& from, Half& to, const std::string& what) {
    const Tensor &source = from.tensor, &target = to.tensor;
    if (source.dtype() != target.dtype() || source.elements() != target.elements())
      group_->fail_all(fmt::format("{}: {} [{}] is sent while {} [{}] is expected", what,
                                   name_of(source.dtype()), source.elements(),
                                   name_of(target.dtype()), target.elements()));
    queue_.wait(from.ready);
    queue_.wait(to.ready);
    queue_.move(source.raw(), target.raw(), source.bytes());
    from = to = {{}, {}, true, queue_.mark()};
  }

  class Waiting : public Work::State {
   public:
    Waiting(std::shared_ptr<Group> group, DeviceQueue& queue, std::shared_ptr<Meeting> meeting,
            std::string what)
        : group_(std::move(group)),
          queue_(queue),
          meeting_(std::move(meeting)),
          what_(std::move(what)) {}
    Waiting(std::shared_ptr<Group> group, DeviceQueue& queue, std::shared_ptr<Half> half,
            std::string what, int peer)
        : group_(std::move(group)),
          queue_(queue),
          half_(std::move(half)),
          what_(std::move(what)),
          peer_(peer) {}
    void wait() override {
      group_->wait(meeting_ ? meeting_->done : half_->done, what_, [this] {
        return meeting_ ? ranks_missing(*meeting_) : fmt::format("rank {}", peer_);
      });
      queue_.wait(meeting_ ? meeting_->result : half_->result);
    }

   private:
    std::shared_ptr<Group> group_;
    DeviceQueue& queue_;
    std::shared_ptr<Meeting> meeting_;
    std::shared_ptr<Half> half_;
    std::string what_;
    int peer_ = 0;
  };

  std::shared_ptr<ThreadWorld::State> world_;
  std::shared_ptr<Group> group_;
  DeviceQueue& queue_;
  int rank_;
  std::string name_;
  int64_t next_meeting_ = 0;
  std::map<int, int64_t> sent_, received_;  // [peer]
};

}  // namespace

ThreadWorld::ThreadWorld(int ranks, std::chrono::milliseconds deadline)
    : state_(std::make_shared<State>()) {
  std::vector<int> members(static_cast<size_t>(ranks));
  std::iota(members.begin(), members.end(), 0);
  state_->world = state_->make(std::move(members), deadline);
}

std::unique_ptr<Comm> ThreadWorld::comm(int rank, DeviceQueue& queue) {
  return std::make_unique<ThreadComm>(state_, state_->world, queue, rank,
                                      fmt::format("world of rank {}", rank));
}

void ThreadWorld::abort(int rank, const std::string& why) {
  const std::string message = fmt::format("rank {} stopped: {}", rank, why);
  std::vector<std::weak_ptr<Group>> groups;
  {
    // Copied, because a group that is splitting holds its own lock and waits for this one.
    const std::lock_guard lock(state_->mutex);
    state_->failure = message;
    groups = state_->groups;
  }
  for (const auto& weak : groups)
    if (const auto group = weak.lock()) group->abort(message);
}

}  // namespace katman
