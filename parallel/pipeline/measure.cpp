#include "parallel/pipeline/measure.h"

#include <chrono>
#include <exception>
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
  const auto rank_main = [&](int rank, std::chrono::steady_clock::time_point begin) {
    const auto comm = world.comm(rank);
    std::vector<std::unique_ptr<StageWork>> stages;
    std::vector<StageWork*> pointers;
    for (int stage = rank; stage < stages_of(schedule); stage += ranks)
      pointers.push_back(stages.emplace_back(std::make_unique<SleepingStage>(stage, costs)).get());
    comm->barrier();
    const auto r = static_cast<size_t>(rank);
    timeline.ranks[r] = run(schedule[r], pointers, *comm, begin);
  };
  {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(rank_main, rank, begin);
  }
  return timeline;
}

Costs costs_of(const Timeline& measured) {
  struct Sum {
    double seconds = 0;
    int actions = 0;
    void add(double s) { seconds += s, ++actions; }
    double mean() const { return actions ? seconds / actions : 0; }
  };
  std::map<Do, Sum> by_action;
  std::map<int, double> by_stage;
  for (const auto& spans : measured.ranks)
    for (const Span& span : spans) {
      if (!is_compute(span.action.what)) continue;
      by_action[span.action.what].add(span.end_s - span.start_s);
      by_stage[span.action.stage] += span.end_s - span.start_s;
    }
  Costs costs;
  costs.forward_s = by_action[Do::forward].mean();
  // A whole backward pass is charged as an input part; how it divides makes no difference to it.
  costs.backward_input_s = by_action[Do::backward].mean() + by_action[Do::backward_input].mean();
  costs.backward_weight_s = by_action[Do::backward_weight].mean();
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
