#include "parallel/pipeline/check.h"

#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "core/error.h"

namespace katman {
namespace {

using Done = std::set<std::tuple<Do, int, int>>;  // what, stage, micro

// The action at the other end of a transfer, on the neighbouring stage.
struct Peer {
  Action action;
  int rank;
};
std::optional<Peer> peer_of(const Action& a, int ranks) {
  const auto at = [&](Do what, int stage) {
    return Peer{{what, static_cast<int16_t>(stage), a.micro}, rank_of(stage, ranks)};
  };
  switch (a.what) {
    case Do::send_act:
      return at(Do::recv_act, a.stage + 1);
    case Do::recv_act:
      return at(Do::send_act, a.stage - 1);
    case Do::send_grad:
      return at(Do::recv_grad, a.stage - 1);
    case Do::recv_grad:
      return at(Do::send_grad, a.stage + 1);
    default:
      return std::nullopt;
  }
}

// Plays the programs with sends and receives that block until both sides are there.
class Referee {
 public:
  Referee(const Schedule& schedule, int micros, bool training)
      : schedule_(schedule),
        ranks_(static_cast<int>(schedule.size())),
        stages_(stages_of(schedule)),
        micros_(micros),
        training_(training),
        next_(schedule.size()),
        done_(schedule.size()) {}

  void play() {
    for (bool moved = true; moved;) {
      moved = false;
      for (int rank = 0; rank < ranks_; ++rank)
        while (advance(rank)) moved = true;
    }
    for (int rank = 0; rank < ranks_; ++rank)
      if (const Action* a = head(rank))
        fail_at(rank, *a, "waits for its peer forever: the schedule deadlocks");
    for (int stage = 0; stage < stages_; ++stage) require_complete(stage);
  }

 private:
  const Action* head(int rank) const {
    const auto r = static_cast<size_t>(rank);
    return next_[r] < schedule_[r].size() ? &schedule_[r][next_[r]] : nullptr;
  }
  Done& done(int rank) { return done_[static_cast<size_t>(rank)]; }
  bool has(int rank, Do what, int stage, int micro) {
    return done(rank).contains({what, stage, micro});
  }
  template <class... Args>
  [[noreturn]] void fail_at(int rank, const Action& a, fmt::format_string<Args...> why,
                            Args&&... args) {
    throw UsageError(fmt::format("{} of rank {} {}", to_string(a), rank,
                                 fmt::format(why, std::forward<Args>(args)...)));
  }

  // True when the rank's next action could be done now.
  bool advance(int rank) {
    const Action* a = head(rank);
    if (!a) return false;
    const auto peer = peer_of(*a, ranks_);
    if (peer && !is_there(rank, *a, *peer)) return false;
    take(rank, *a);
    if (peer) take(peer->rank, peer->action);
    return true;
  }

  // Whether the peer stands at the other half. Standing at another transfer of the same direction
  // between the two would pair wrong ones.
  bool is_there(int rank, const Action& a, const Peer& peer) {
    if (peer.action.stage < 0 || peer.action.stage >= stages_ || peer.rank == rank)
      fail_at(rank, a, "has no other rank to talk to");
    const Action* other = head(peer.rank);
    if (!other || *other == peer.action) return other != nullptr;
    const auto theirs = peer_of(*other, ranks_);
    const bool sending = a.what == Do::send_act || a.what == Do::send_grad;
    const bool they_receive = other->what == Do::recv_act || other->what == Do::recv_grad;
    if (theirs && theirs->rank == rank && sending == they_receive)
      fail_at(rank, a, "meets {} of rank {}", to_string(*other), peer.rank);
    return false;
  }

  void take(int rank, const Action& a) {
    ++next_[static_cast<size_t>(rank)];
    if (rank_of(a.stage, ranks_) != rank)
      fail_at(rank, a, "belongs to rank {}", rank_of(a.stage, ranks_));
    if (a.micro >= micros_) fail_at(rank, a, "is beyond the {} micro-batches", micros_);
    require_inputs(rank, a);
    if (!done(rank).insert({a.what, a.stage, a.micro}).second) fail_at(rank, a, "happens twice");
  }

  // What a stage gets from its neighbour: received, or computed here when that is the same rank.
  bool arrived(int rank, Do received, Do computed, const Action& a, int neighbour) {
    if (rank_of(neighbour, ranks_) != rank) return has(rank, received, a.stage, a.micro);
    return has(rank, computed, neighbour, a.micro) ||
           (computed == Do::backward && has(rank, Do::backward_input, neighbour, a.micro));
  }
  bool has_input_gradient(int rank, const Action& a) {
    return has(rank, Do::backward, a.stage, a.micro) ||
           has(rank, Do::backward_input, a.stage, a.micro);
  }

  void require_inputs(int rank, const Action& a) {
    bool good = true;
    switch (a.what) {
      case Do::forward:
        good = a.stage == 0 || arrived(rank, Do::recv_act, Do::forward, a, a.stage - 1);
        break;
      case Do::backward:
      case Do::backward_input:
        if (has_input_gradient(rank, a)) fail_at(rank, a, "is a second backward pass");
        good =
            has(rank, Do::forward, a.stage, a.micro) &&
            (a.stage == stages_ - 1 || arrived(rank, Do::recv_grad, Do::backward, a, a.stage + 1));
        break;
      case Do::backward_weight:
        good = has(rank, Do::backward_input, a.stage, a.micro);
        break;
      case Do::send_act:
        good = has(rank, Do::forward, a.stage, a.micro);
        break;
      case Do::send_grad:
        good = has_input_gradient(rank, a);
        break;
      case Do::reduce:
        for (int micro = 0; micro < micros_; ++micro)
          good = good && (has(rank, Do::backward, a.stage, micro) ||
                          has(rank, Do::backward_weight, a.stage, micro));
        break;
      case Do::recv_act:
      case Do::recv_grad:
        break;
    }
    if (!good) fail_at(rank, a, "comes before what it needs");
  }

  void require_complete(int stage) {
    const int rank = rank_of(stage, ranks_);
    for (int micro = 0; micro < micros_; ++micro) {
      const bool backward =
          has(rank, Do::backward, stage, micro) || has(rank, Do::backward_weight, stage, micro);
      require_usage(has(rank, Do::forward, stage, micro) && backward == training_,
                    "the schedule does not finish micro-batch {} on stage {}", micro, stage);
    }
    require_usage(!training_ || micros_ == 0 || has(rank, Do::reduce, stage, 0),
                  "the schedule never reduces the gradients of stage {}", stage);
  }

  const Schedule& schedule_;
  int ranks_, stages_, micros_;
  bool training_;
  std::vector<size_t> next_;  // [rank]
  std::vector<Done> done_;    // [rank]
};

}  // namespace

void verify(const Schedule& schedule, int micros, bool training) {
  Referee(schedule, micros, training).play();
}

}  // namespace katman
