#include "parallel/pipeline/run.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

namespace katman {
namespace {

constexpr size_t max_sends = 4;

class Runner {
 public:
  Runner(const Program& program, const std::vector<StageWork*>& stages, Comm& pp,
         DeviceClock& clock)
      : program_(program),
        stages_(stages),
        pp_(pp),
        last_stage_(static_cast<int>(stages.size()) * pp.size() - 1),
        clock_(clock) {}

  std::vector<TimedAction> run() {
    done_.reserve(2 * program_.size());
    for (size_t i = 0; i < program_.size(); ++i) {
      post_receives_around(i);
      begin_ = clock_.moment();
      perform(program_[i]);
      done_.push_back({program_[i], begin_, clock_.moment()});
    }
    while (!sends_.empty()) finish_send();
    return std::move(done_);
  }

 private:
  struct Incoming {
    Tensor tensor;
    Work work;
  };
  using Inbox = std::map<std::pair<int, int>, Incoming>;  // (stage, micro) that will use it

  StageWork& stage(const Action& a) { return *stages_[static_cast<size_t>(a.stage / pp_.size())]; }
  Inbox& inbox(Do what) { return what == Do::recv_act || what == Do::forward ? acts_ : grads_; }

  // Receives between program_[i] and the computation after it do not depend on it: posted before
  // it, they travel meanwhile.
  void post_receives_around(size_t i) {
    posted_ = std::max(posted_, i);
    for (; posted_ < program_.size(); ++posted_) {
      if (posted_ > i && is_compute(program_[posted_].what)) break;
      if (is_receive(program_[posted_])) post(program_[posted_]);
    }
  }
  static bool is_receive(const Action& a) {
    return a.what == Do::recv_act || a.what == Do::recv_grad;
  }
  void post(const Action& a) {
    const int from = rank_of(a.what == Do::recv_act ? a.stage - 1 : a.stage + 1, pp_.size());
    Tensor tensor = stage(a).empty_activation(a.micro);
    Work work = pp_.recv(tensor, from);
    inbox(a.what)[{a.stage, a.micro}] = {std::move(tensor), std::move(work)};
  }

  // The input that `a` computes from, waited for; nothing at the ends of the model.
  Tensor take_input(const Action& a) {
    const bool at_end = a.what == Do::forward ? a.stage == 0 : a.stage == last_stage_;
    if (at_end) return {};
    auto node = inbox(a.what).extract({a.stage, a.micro});
    require(!node.empty(), "{} was not sent what it needs", to_string(a));
    node.mapped().work.wait();
    const auto arrived = clock_.moment();
    const Do received = a.what == Do::forward ? Do::recv_act : Do::recv_grad;
    done_.push_back({{received, a.stage, a.micro}, begin_, arrived});
    begin_ = arrived;
    return std::move(node.mapped().tensor);
  }

  // Keeps what was computed for `to_stage`: here, or for the send action that follows.
  void hand_over(Tensor tensor, const Action& a, Do use, int to_stage) {
    if (to_stage < 0 || to_stage > last_stage_) return;
    if (rank_of(to_stage, pp_.size()) == pp_.rank())
      inbox(use)[{to_stage, a.micro}] = {std::move(tensor), Work()};
    else
      outbox_[{to_stage, a.micro}] = std::move(tensor);
  }

  void send(const Action& a, int to_stage) {
    auto node = outbox_.extract({to_stage, a.micro});
    require(!node.empty(), "{} has nothing to send", to_string(a));
    Work work = pp_.send(node.mapped(), rank_of(to_stage, pp_.size()));
    sends_.push_back({std::move(node.mapped()), std::move(work)});
    if (sends_.size() > max_sends) finish_send();
  }
  void finish_send() {
    sends_.front().work.wait();
    sends_.pop_front();
  }

  void perform(const Action& a) {
    switch (a.what) {
      case Do::forward:
        return hand_over(stage(a).forward(a.micro, take_input(a)), a, Do::forward, a.stage + 1);
      case Do::backward:
      case Do::backward_input: {
        const bool postpone = a.what == Do::backward_input;
        return hand_over(stage(a).backward(a.micro, take_input(a), postpone), a, Do::backward,
                         a.stage - 1);
      }
      case Do::backward_weight:
        return stage(a).backward_weight(a.micro);
      case Do::send_act:
        return send(a, a.stage + 1);
      case Do::send_grad:
        return send(a, a.stage - 1);
      case Do::recv_act:
      case Do::recv_grad:
        return;  // posted ahead
      case Do::reduce:
        return stage(a).reduce();
    }
  }

  const Program& program_;
  const std::vector<StageWork*>& stages_;  // [chunk]
  Comm& pp_;
  int last_stage_;
  DeviceClock& clock_;
  size_t posted_ = 0;  // receives before this one are posted
  Inbox acts_, grads_;
  std::map<std::pair<int, int>, Tensor> outbox_;  // (stage, micro) that will use it
  std::deque<Incoming> sends_;
  std::vector<TimedAction> done_;
  DeviceClock::At begin_;  // of the action under way, its input waited for
};

}  // namespace

std::vector<Span> spans_of(const std::vector<TimedAction>& actions, DeviceClock& clock,
                           const DeviceClock::Moment& begin) {
  std::vector<Span> spans;
  for (const TimedAction& done : actions)
    spans.push_back({done.action, clock.seconds_between(begin, *done.begin),
                     clock.seconds_between(begin, *done.end)});
  return spans;
}

std::vector<TimedAction> run(const Program& program, const std::vector<StageWork*>& stages,
                             Comm& pp, DeviceClock& clock) {
  return Runner(program, stages, pp, clock).run();
}

}  // namespace katman
