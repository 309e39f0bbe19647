// The loop that obeys a program.
#pragma once

#include <vector>

#include "core/comm.h"
#include "core/device_clock.h"
#include "core/tensor.h"
#include "parallel/pipeline/schedule.h"
#include "parallel/pipeline/timeline.h"

namespace katman {

// What the loop asks of the layers of one stage, for each micro-batch by its index in the step.
class StageWork {
 public:
  virtual ~StageWork() = default;
  // x: the previous stage's activation, nothing for the first stage. Returns this stage's, nothing
  // from the last.
  virtual Tensor forward(int micro, const Tensor& x) = 0;
  // dy: the gradient of what forward returned, nothing for the last stage. Returns that of x. With
  // postpone_weights, weight gradients wait for backward_weight().
  virtual Tensor backward(int micro, const Tensor& dy, bool postpone_weights) = 0;
  virtual void backward_weight(int micro) = 0;
  // Memory shaped like an activation between stages, or its gradient, to receive into.
  virtual Tensor empty_activation(int micro) = 0;
  // All weight gradients of this stage are there.
  virtual void reduce() = 0;
};

// An action between two moments of the queue that its work was enqueued on.
struct TimedAction {
  Action action;
  DeviceClock::At begin, end;
};
// In seconds since `begin`. Blocks until the device has got so far.
std::vector<Span> spans_of(const std::vector<TimedAction>& actions, DeviceClock& clock,
                           const DeviceClock::Moment& begin);

// Runs this rank's program. stages: [chunk], stage s being chunk s / pp.size(). Receives are posted
// one computation ahead and waited for where their tensor is used; sends are waited for once
// `max_sends` newer ones are under way. Returns every action as the device computes it, and for
// every receive how long the device stands waiting for it.
std::vector<TimedAction> run(const Program& program, const std::vector<StageWork*>& stages,
                             Comm& pp, DeviceClock& clock);

}  // namespace katman
