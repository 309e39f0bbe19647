// The step vote: the one small exchange by which every rank knows the same after every step.
#pragma once

#include <cstdint>

#include "core/backend.h"
#include "core/comm.h"

namespace katman {

// What a rank would like to happen after this step; the vote makes it everybody's.
struct Wishes {
  bool stop = false, save = false, pause = false;
  bool operator==(const Wishes&) const = default;
};

// What the world knows after a vote.
struct Verdict {
  double loss_sum = 0;      // of -log p over all counted tokens
  int64_t tokens = 0;       // counted tokens of the whole batch, exact
  double squared_norm = 0;  // of the gradient of loss_sum, every parameter counted once
  Wishes agreed;            // wished by at least one rank

  // A NaN or an infinity anywhere in the losses or the gradients.
  bool bad() const;
  double loss() const;       // nats per token
  double grad_norm() const;  // of the mean over tokens
};

// One all-reduce of seven floats over the world, and the only time in a step that the host waits
// for the device. loss_sum() and squared_norm() are f32 [1] on the device, to be added to between
// clear() and collect().
class Vote {
 public:
  Vote(Backend& backend, Comm& world);

  void clear();
  Tensor loss_sum() const { return ballot_.slice(0, 1); }
  Tensor squared_norm() const { return ballot_.slice(1, 1); }
  // tokens: those that this rank alone answers for.
  Verdict collect(int64_t tokens, Wishes mine);

 private:
  Backend& backend_;
  Comm& world_;
  Tensor ballot_;  // f32 [7]
};

}  // namespace katman
