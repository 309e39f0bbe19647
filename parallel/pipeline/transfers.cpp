#include "parallel/pipeline/transfers.h"

#include <map>
#include <set>
#include <utility>

#include "core/error.h"

namespace katman {
namespace {

class Player {
 public:
  explicit Player(const Schedule& compute)
      : compute_(compute),
        ranks_(static_cast<int>(compute.size())),
        stages_(stages_of(compute)),
        next_(compute.size()),
        result_(compute.size()) {
    for (const Program& program : compute)
      for (const Action& a : program) gradients_left_[a.stage] += completes_gradient(a);
  }

  Schedule play() {
    while (!finished()) {
      // What is ready now happens at once everywhere: programs advance as they will in time.
      std::vector<int> ready;
      for (int rank = 0; rank < ranks_; ++rank)
        if (const Action* a = head(rank); a && is_ready(*a)) ready.push_back(rank);
      require(!ready.empty(), "the schedule deadlocks: {}", positions());
      std::vector<Action> performed;
      for (int rank : ready) performed.push_back(perform(rank));
      for (const Action& a : performed) hand_over(a);
    }
    return std::move(result_);
  }

 private:
  static bool completes_gradient(const Action& a) {
    return a.what == Do::backward || a.what == Do::backward_weight;
  }
  const Action* head(int rank) const {
    const auto r = static_cast<size_t>(rank);
    return next_[r] < compute_[r].size() ? &compute_[r][next_[r]] : nullptr;
  }
  bool finished() const {
    for (int rank = 0; rank < ranks_; ++rank)
      if (head(rank)) return false;
    return true;
  }

  bool is_ready(const Action& a) const {
    const auto here = [&](const auto& done) { return done.contains({a.stage, a.micro}); };
    switch (a.what) {
      case Do::forward:
        return a.stage == 0 || forwards_.contains({a.stage - 1, a.micro});
      case Do::backward:
      case Do::backward_input:
        return here(forwards_) &&
               (a.stage == stages_ - 1 || gradients_.contains({a.stage + 1, a.micro}));
      case Do::backward_weight:
        return here(gradients_);
      default:
        fail("{} is not a compute action", to_string(a));
    }
  }

  Action perform(int rank) {
    const Action a = *head(rank);
    ++next_[static_cast<size_t>(rank)];
    program(rank).push_back(a);
    if (a.what == Do::forward) forwards_.insert({a.stage, a.micro});
    if (a.what == Do::backward || a.what == Do::backward_input)
      gradients_.insert({a.stage, a.micro});
    return a;
  }

  // The events that follow a computation.
  void hand_over(const Action& a) {
    if (a.what == Do::forward) {
      if (a.stage < stages_ - 1) transfer(a, Do::send_act, Do::recv_act, a.stage + 1);
    } else if (a.what != Do::backward_weight) {
      if (a.stage > 0) transfer(a, Do::send_grad, Do::recv_grad, a.stage - 1);
    }
    if (completes_gradient(a) && --gradients_left_[a.stage] == 0)
      program(rank_of(a.stage, ranks_)).push_back({Do::reduce, a.stage, 0});
  }

  void transfer(const Action& a, Do send, Do recv, int to_stage) {
    const int from = rank_of(a.stage, ranks_), to = rank_of(to_stage, ranks_);
    if (from == to) return;  // handed over in memory
    program(from).push_back({send, a.stage, a.micro});
    program(to).push_back({recv, static_cast<int16_t>(to_stage), a.micro});
  }

  Program& program(int rank) { return result_[static_cast<size_t>(rank)]; }

  std::string positions() const {
    std::string text;
    for (int rank = 0; rank < ranks_; ++rank)
      if (const Action* a = head(rank))
        text += fmt::format("{}rank {} waits at {}", text.empty() ? "" : ", ", rank, to_string(*a));
    return text;
  }

  const Schedule& compute_;
  int ranks_, stages_;
  std::vector<size_t> next_;                            // [rank]
  Schedule result_;                                     // [rank]
  std::set<std::pair<int, int>> forwards_, gradients_;  // (stage, micro) done
  std::map<int, int> gradients_left_;                   // [stage]
};

}  // namespace

Schedule with_comms(const Schedule& compute) { return Player(compute).play(); }

}  // namespace katman
