#include "parallel/pipeline/run.h"

#include <gtest/gtest.h>

#include <thread>

#include "parallel/comm/alone.h"
#include "parallel/pipeline/check.h"
#include "parallel/pipeline/measure.h"
#include "parallel/pipeline/transfers.h"
#include "tests/support/comm_conformance.h"
#include "tests/support/far_queue.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {
using namespace std::chrono_literals;

// A stage that computes with numbers: forward adds its number + 1, the gradient is doubled, so that
// every result says which way it has come.
class NumberStage : public StageWork {
 public:
  NumberStage(int stage, int stages, int micros) : stage_(stage), stages_(stages), seen_(micros) {}

  Tensor forward(int micro, const Tensor& x) override {
    EXPECT_EQ(static_cast<bool>(x), stage_ > 0);
    const float in = x ? x.data<float>()[0] : 100 * micro;
    seen_[static_cast<size_t>(micro)].in = in;
    return stage_ == stages_ - 1 ? Tensor() : number(in + static_cast<float>(stage_ + 1));
  }
  Tensor backward(int micro, const Tensor& dy, bool postpone) override {
    EXPECT_EQ(static_cast<bool>(dy), stage_ < stages_ - 1);
    const float in = dy ? dy.data<float>()[0] : 1 + micro;
    seen_[static_cast<size_t>(micro)].gradient = in;
    weights_ += !postpone;
    return stage_ == 0 ? Tensor() : number(2 * in);
  }
  void backward_weight(int) override { ++weights_; }
  Tensor empty_activation(int) override { return host_tensor({1}, DType::f32); }
  void reduce() override { weights_at_reduce_ = weights_; }

  void expect_all(const std::string& repro) const {
    for (size_t micro = 0; micro < seen_.size(); ++micro) {
      const auto m = static_cast<float>(micro);
      const auto before = static_cast<float>(stage_ * (stage_ + 1) / 2);
      EXPECT_EQ(seen_[micro].in, 100 * m + before) << repro;
      EXPECT_EQ(seen_[micro].gradient, (1 + m) * static_cast<float>(1 << (stages_ - 1 - stage_)))
          << repro;
    }
    EXPECT_EQ(weights_at_reduce_, static_cast<int>(seen_.size())) << repro;
  }

 private:
  static Tensor number(float value) {
    const Tensor t = host_tensor({1}, DType::f32);
    t.data<float>()[0] = value;
    return t;
  }

  struct Seen {
    float in = -1, gradient = -1;
  };
  int stage_, stages_, weights_ = 0, weights_at_reduce_ = -1;
  std::vector<Seen> seen_;  // [micro]
};

TEST(Run, every_value_arrives_where_it_belongs_on_every_schedule) {
  for (int ranks : {1, 2, 3, 4})
    for (int micros : {1, 4, 7})
      for (const std::string kind :
           {"gpipe", "1f1b", "zero_bubble", "zero_bubble_h2", "interleaved"}) {
        const int chunks = kind == "interleaved" ? 3 : 1;
        const std::string repro =
            fmt::format("{} ranks={} micros={} chunks={}", kind, ranks, micros, chunks);
        const Schedule schedule = with_comms(make_schedule(kind, ranks, micros, chunks));
        run_ranks(ranks, [&](Comm& pp) {
          std::vector<NumberStage> stages;
          for (int chunk = 0; chunk < chunks; ++chunk)
            stages.emplace_back(chunk * ranks + pp.rank(), ranks * chunks, micros);
          std::vector<StageWork*> work;
          for (auto& stage : stages) work.push_back(&stage);
          run(schedule[static_cast<size_t>(pp.rank())], work, pp, host_clock());
          for (const auto& stage : stages) stage.expect_all(repro);
        });
      }
}

TEST(Run, records_every_action_in_order_of_time) {
  const int micros = 6;
  const Timeline timeline = measure(zero_bubble(3, micros), micros, Costs{1e-4, 1e-4, 1e-4, 0, {}});
  EXPECT_EQ(compute_of(timeline), zero_bubble(3, micros));
  for (const auto& spans : timeline.ranks)
    for (size_t i = 0; i < spans.size(); ++i) {
      EXPECT_LE(spans[i].start_s, spans[i].end_s);
      // Receives are timed while they are waited for, inside the action that needs them.
      if (i == 0 || !is_compute(spans[i].action.what) || !is_compute(spans[i - 1].action.what))
        continue;
      EXPECT_LE(spans[i - 1].end_s, spans[i].start_s + 1e-12);
    }
}

// A stage on a device that takes its time, whose host has enqueued everything at once.
class DistantStage : public StageWork {
 public:
  explicit DistantStage(FarQueue& queue) : queue_(queue) {}
  Tensor forward(int, const Tensor&) override { return take(5ms); }
  Tensor backward(int, const Tensor&, bool) override { return take(10ms); }
  void backward_weight(int) override {}
  Tensor empty_activation(int) override { return {}; }
  void reduce() override {}

 private:
  Tensor take(std::chrono::milliseconds time) {
    queue_.enqueue([time] { std::this_thread::sleep_for(time); });
    return {};
  }
  FarQueue& queue_;
};

TEST(Run, times_what_the_device_does_and_not_what_the_host_asks_for) {
  FarQueue queue;
  DistantStage stage(queue);
  const auto alone = make_comm_of_one(queue, "alone");
  DeviceClock& clock = clock_of(queue);
  queue.enqueue([] { std::this_thread::sleep_for(20ms); });  // of the step before: not in this one
  const auto begin = clock.moment();
  const auto actions = run(with_comms(gpipe(1, 3))[0], {&stage}, *alone, clock);
  double reached = 0;
  for (const Span& span : spans_of(actions, clock, *begin)) {
    const double least = span.action.what == Do::forward    ? 0.005
                         : span.action.what == Do::backward ? 0.010
                                                            : 0;
    EXPECT_GE(span.end_s - span.start_s, least);
    EXPECT_GE(span.start_s, reached);
    reached = span.end_s;
  }
  EXPECT_GE(reached, 3 * 0.015);
}

TEST(Run, a_measured_timeline_gives_back_the_costs_it_had) {
  const auto simulated = simulate(zero_bubble(3, 6), Costs{2, 3, 4, 0, {1, 2, 3}});
  const Costs costs = costs_of(simulated.timeline);
  EXPECT_NEAR(costs.of({Do::forward, 0, 0}), 2, 1e-9);
  EXPECT_NEAR(costs.of({Do::backward_input, 1, 0}), 6, 1e-9);
  EXPECT_NEAR(costs.of({Do::backward_weight, 2, 0}), 12, 1e-9);
  EXPECT_NEAR(simulate(compute_of(simulated.timeline), costs).timeline.makespan_s(),
              simulated.timeline.makespan_s(), 1e-9);
}

}  // namespace
}  // namespace katman::testing
