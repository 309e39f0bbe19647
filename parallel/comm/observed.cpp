#include "parallel/comm/observed.h"

#include <fmt/format.h>

#include <utility>

namespace katman {
namespace {

double seconds_since(Waiting::Clock::time_point begin) {
  return std::chrono::duration<double>(Waiting::Clock::now() - begin).count();
}

class Observed : public Comm {
 public:
  Observed(Comm& inner, std::unique_ptr<Comm> owned, Waiting& waiting)
      : inner_(inner), owned_(std::move(owned)), waiting_(waiting) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  const std::string& name() const override { return inner_.name(); }

  std::unique_ptr<Comm> split(int color, int key, const std::string& name) override {
    const Waited waited(*this, "split");
    auto part = inner_.split(color, key, name);
    Comm& group = *part;
    return std::make_unique<Observed>(group, std::move(part), waiting_);
  }
  Work all_reduce(const Tensor& t) override {
    return watch("all_reduce", [&] { return inner_.all_reduce(t); });
  }
  Work all_gather(const Tensor& mine, const Tensor& all) override {
    return watch("all_gather", [&] { return inner_.all_gather(mine, all); });
  }
  Work reduce_scatter(const Tensor& all, const Tensor& mine) override {
    return watch("reduce_scatter", [&] { return inner_.reduce_scatter(all, mine); });
  }
  Work send(const Tensor& t, int to) override {
    return watch("send", [&] { return inner_.send(t, to); });
  }
  Work recv(const Tensor& t, int from) override {
    return watch("recv", [&] { return inner_.recv(t, from); });
  }
  void barrier() override {
    const Waited waited(*this, "barrier");
    inner_.barrier();
  }

 private:
  // From here to the end of the scope, the rank waits.
  class Waited {
   public:
    Waited(Observed& comm, const char* verb) : Waited(comm, verb, ++comm.number_) {}
    Waited(Observed& comm, const char* verb, int64_t number) : waiting_(comm.waiting_) {
      waiting_.begin(comm.name(), verb, number);
    }
    ~Waited() { waiting_.end(); }
    Waited(const Waited&) = delete;
    Waited& operator=(const Waited&) = delete;

   private:
    Waiting& waiting_;
  };

  class State : public Work::State {
   public:
    State(Observed& comm, const char* verb, int64_t number, Work work)
        : comm_(comm), verb_(verb), number_(number), work_(std::move(work)) {}
    void wait() override {
      const Waited waited(comm_, verb_, number_);
      work_.wait();
    }

   private:
    Observed& comm_;
    const char* verb_;
    int64_t number_;
    Work work_;
  };

  // Starting may take long, too: where it has to wait for room, or does all of the work.
  template <class Start>
  Work watch(const char* verb, Start start) {
    const int64_t number = ++number_;
    const Waited waited(*this, verb, number);
    return Work(std::make_unique<State>(*this, verb, number, start()));
  }

  Comm& inner_;
  std::unique_ptr<Comm> owned_;
  Waiting& waiting_;
  int64_t number_ = 0;
};

}  // namespace

void Waiting::begin(const std::string& group, const char* verb, int64_t number) {
  const std::lock_guard lock(mutex_);
  group_ = &group;
  verb_ = verb;
  number_ = number;
  since_ = Clock::now();
}

void Waiting::end() {
  const std::lock_guard lock(mutex_);
  sum_s_ += seconds_since(since_);
  group_ = nullptr;
}

Waiting::Now Waiting::now() const {
  const std::lock_guard lock(mutex_);
  if (!group_) return {};
  return {fmt::format("{}: {} number {}", *group_, verb_, number_), seconds_since(since_)};
}

double Waiting::take_s() {
  const std::lock_guard lock(mutex_);
  return std::exchange(sum_s_, 0);
}

std::unique_ptr<Comm> observed(Comm& inner, Waiting& waiting) {
  return std::make_unique<Observed>(inner, nullptr, waiting);
}

}  // namespace katman
