#include "parallel/pipeline/measure.h"

#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "core/pool.h"
#include "parallel/comm/threads.h"
#include "parallel/pipeline/check.h"
#include "parallel/pipeline/run.h"
#include "parallel/pipeline/transfers.h"

namespace katman {
namespace {

class SleepingStage : public StageWork {
 public:
  SleepingStage(int stage, const Costs& costs) : stage_(stage), costs_(costs) {}

  Tensor forward(int, const Tensor&) override { return sleep(Do::forward); }
  Tensor backward(int, const Tensor&, bool postpone) override {
    return sleep(postpone ? Do::backward_input : Do::backward);
  }
  void backward_weight(int) override { sleep(Do::backward_weight); }
  void reduce() override {}
  Tensor empty_activation(int) override {
    std::shared_ptr<Buffer> buffer(new Buffer{new std::byte[1], 1}, [](Buffer* b) {
      delete[] b->data;
      delete b;
    });
    *buffer->data = {};
    return Tensor(std::move(buffer), 0, {1}, DType::u8);
  }

 private:
  Tensor sleep(Do what) {
    const Action action{what, static_cast<int16_t>(stage_), 0};
    std::this_thread::sleep_for(std::chrono::duration<double>(costs_.of(action)));
    return empty_activation(0);
  }

  int stage_;
  const Costs& costs_;
};

}  // namespace

Timeline measure(const Schedule& compute, int micros, const Costs& costs) {
  const Schedule schedule = with_comms(compute);
  verify(schedule, micros);
  const int ranks = static_cast<int>(schedule.size());
  ThreadWorld world(ranks);
  Timeline timeline;
  timeline.ranks.resize(schedule.size());
  const auto rank_main = [&](int rank, const DeviceClock::Moment& begin) {
    const auto comm = world.comm(rank);
    std::vector<std::unique_ptr<StageWork>> stages;
    std::vector<StageWork*> pointers;
    for (int stage = rank; stage < stages_of(schedule); stage += ranks)
      pointers.push_back(stages.emplace_back(std::make_unique<SleepingStage>(stage, costs)).get());
    comm->barrier();
    const auto r = static_cast<size_t>(rank);
    timeline.ranks[r] =
        spans_of(run(schedule[r], pointers, *comm, host_clock()), host_clock(), begin);
  };
  {
    const auto begin = host_clock().moment();
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank)
      threads.emplace_back(rank_main, rank, std::cref(*begin));
  }
  return timeline;
}

Costs costs_of(const Timeline& measured) {
  std::map<Do, double> by_action;  // seconds
  std::map<int, double> by_stage;
  int forwards = 0;
  for (const auto& spans : measured.ranks)
    for (const Span& span : spans) {
      if (!is_compute(span.action.what)) continue;
      const double seconds = span.end_s - span.start_s;
      by_action[span.action.what] += seconds;
      by_stage[span.action.stage] += seconds;
      forwards += span.action.what == Do::forward;
    }
  const double passes = std::max(1, forwards);  // as many backward
  const double input = by_action[Do::backward_input], weight = by_action[Do::backward_weight];
  // A whole backward pass divides as those do that are split; if none is, it makes no difference.
  const double weight_part = weight > 0 ? weight / (input + weight) : 0;
  const double backward = (by_action[Do::backward] + input + weight) / passes;
  Costs costs;
  costs.forward_s = by_action[Do::forward] / passes;
  costs.backward_input_s = backward * (1 - weight_part);
  costs.backward_weight_s = backward * weight_part;
  double total = 0;
  for (const auto& [stage, seconds] : by_stage) total += seconds;
  for (const auto& [stage, seconds] : by_stage)
    costs.stage_factor.push_back(seconds / total * static_cast<double>(by_stage.size()));
  return costs;
}

Schedule compute_of(const Timeline& timeline) {
  Schedule schedule;
  for (const auto& spans : timeline.ranks) {
    auto& program = schedule.emplace_back();
    for (const Span& span : spans)
      if (is_compute(span.action.what)) program.push_back(span.action);
  }
  return schedule;
}

}  // namespace katman
