#include "orchestrator/bench/step.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/model/presets.h"
#include "core/random.h"
#include "orchestrator/bench/peak.h"
#include "orchestrator/rank_device.h"
#include "parallel/comm/alone.h"
#include "parallel/trainer.h"

namespace katman {
namespace {

TrainConfig config_of(const StepBench& bench) {
  TrainConfig config;
  config.model = gpt_preset(bench.preset);
  if (bench.sequence) config.model.sequence = bench.sequence;
  config.micro_batch = bench.micro_batch;
  config.batch_sequences = bench.micro_batch * bench.micro_batches;
  config.precision = bench.precision == "fp32" ? DType::f32 : DType::bf16;
  config.fp8 = bench.precision == "fp8";
  config.rate = {.kind = LearningRate::Kind::constant, .peak = 1e-4f};
  config.steps = bench.steps + 1;
  return config;
}

Samples random_tokens(int64_t vocabulary) {
  return windows([vocabulary](uint64_t sample, std::span<int32_t> tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] =
          static_cast<int32_t>(random_bits(Key(sample), i) % static_cast<uint64_t>(vocabulary));
  });
}

// How long the host takes to enqueue a step that waits for nothing. A device with a queue computes
// meanwhile: it is never idle for want of work when this is well below a step's time.
double time_enqueueing(Trainer& trainer, Backend& backend) {
  backend.sync();
  const auto begin = std::chrono::steady_clock::now();
  trainer.rehearse_step();
  const auto end = std::chrono::steady_clock::now();
  backend.sync();
  return std::chrono::duration<double>(end - begin).count();
}

void time_steps(const StepBench& bench, Trainer& trainer, Backend& backend, StepFigures& figures) {
  figures.first_loss = trainer.step({}).loss;
  const int64_t calls = backend.pool().usage().device_calls;
  std::vector<double> seconds;
  for (int64_t step = 0; step < bench.steps; ++step) {
    const StepReport report = trainer.step({});
    seconds.push_back(report.seconds);
    figures.last_loss = report.loss;
  }
  figures.enqueue_s = time_enqueueing(trainer, backend);
  figures.late_allocations = backend.pool().usage().device_calls - calls;
  figures.memory_bytes = backend.pool().usage().peak_bytes;
  std::ranges::sort(seconds);
  figures.best_s = seconds.front();
  figures.median_s = seconds[seconds.size() / 2];
}

}  // namespace

StepFigures run_step_bench(const StepBench& bench) {
  require_usage(bench.steps >= 1, "--steps {}: time at least one step", bench.steps);
  require_usage(bench.micro_batch >= 1 && bench.micro_batches >= 1,
                "a step needs at least one micro-batch of at least one sequence");
  require_usage(bench.precision == "fp32" || bench.precision == "bf16" || bench.precision == "fp8",
                "--precision {}: use fp32, bf16 or fp8", bench.precision);
  const TrainConfig config = config_of(bench);
  const auto backend = make_backend(device_of_rank(bench.device, {}), bench.threads);
  StepFigures figures;
  figures.device = backend->name();
  figures.tokens_per_step = config.batch_sequences * config.model.sequence;
  figures.flops_per_token = config.model.flops_per_token();
  // Before and after: the better one is the machine's, whatever else it was doing.
  const int64_t size = figures.device.starts_with("reference") ? 256 : 4096;
  const double before = measured_peak_flops(*backend, config.precision, size, 1);
  {
    const auto comm = make_comm_of_one(backend->queue(), "bench");
    Trainer trainer(config, *backend, *comm, random_tokens(config.model.vocabulary));
    backend->pool().reset_peak();
    time_steps(bench, trainer, *backend, figures);
  }
  figures.peak_flops = std::max(before, measured_peak_flops(*backend, config.precision, size, 1));
  figures.tokens_per_s = static_cast<double>(figures.tokens_per_step) / figures.median_s;
  const double flops = figures.tokens_per_s * figures.flops_per_token;
  figures.mfu = flops / figures.peak_flops;
  if (config.precision == DType::bf16) figures.nominal_flops = nominal_peak_flops(figures.device);
  if (figures.nominal_flops > 0) figures.nominal_mfu = flops / figures.nominal_flops;
  return figures;
}

}  // namespace katman
