#include "orchestrator/bench/step.h"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <vector>

#include "core/cuda_library.h"
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
  const bool wide = bench.precision == "fp32" || bench.precision == "tf32";
  config.precision = wide ? DType::f32 : DType::bf16;
  config.fp8 = bench.precision == "fp8";
  config.rate = {.kind = LearningRate::Kind::constant, .peak = 1e-4f};
  config.recompute = bench.recompute == "full"        ? Recompute::full
                     : bench.recompute == "selective" ? Recompute::selective
                                                      : Recompute::none;
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

TraceFigures trace_steps(Trainer& trainer) {
  constexpr int64_t steps = 3;
  const CudaLibrary library = CudaLibrary::beside_me();
  library.start_trace();
  for (int64_t step = 0; step < steps; ++step) trainer.step({});
  return summarise(library.finish_trace(), steps);
}

bool is_one_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::ranges::find(words, word) != words.end();
}

void check(const StepBench& bench, const std::string& device) {
  require_usage(bench.steps >= 1, "--steps {}: time at least one step", bench.steps);
  require_usage(bench.micro_batch >= 1 && bench.micro_batches >= 1,
                "a step needs at least one micro-batch of at least one sequence");
  require_usage(bench.peak_size >= 0, "--peak {}: use 0 for none", bench.peak_size);
  require_usage(is_one_of(bench.precision, {"fp32", "tf32", "bf16", "fp8"}),
                "--precision {}: use fp32, tf32, bf16 or fp8", bench.precision);
  require_usage(is_one_of(bench.recompute, {"none", "selective", "full"}),
                "--recompute {}: use none, selective or full", bench.recompute);
  const bool on_cuda = cuda_device_of(device).has_value();
  require_usage(bench.precision != "tf32" || on_cuda,
                "--precision tf32 is for CUDA devices, not for {}; use fp32", device);
  require_usage(!bench.any_order || on_cuda,
                "--any-order is for CUDA devices: {} adds in one order only", device);
  require_usage(!bench.trace || on_cuda,
                "--trace needs a CUDA device: on {} the host does all the work", device);
}

}  // namespace

StepFigures run_step_bench(const StepBench& bench) {
  const std::string device = device_of_rank(bench.device, {});
  check(bench, device);
  const TrainConfig config = fitting(config_of(bench), device, {});
  const auto backend = make_backend(device, bench.threads);
  backend->allow_tf32(bench.precision == "tf32");
  backend->allow_any_order(bench.any_order);
  StepFigures figures;
  figures.device = backend->name();
  figures.tokens_per_step = config.batch_sequences * config.model.sequence;
  figures.flops_per_token = config.model.flops_per_token();
  figures.peak_size = peak_size_on(figures.device, bench.peak_size);
  const auto measure_peak = [&] {
    if (figures.peak_size == 0) return;
    const double flops = measured_peak_flops(*backend, config.precision, figures.peak_size, 1);
    figures.peak_flops = std::max(figures.peak_flops, flops);
  };
  // Before and after: the better one is the machine's, whatever else it was doing.
  measure_peak();
  {
    const auto comm = make_comm_of_one(backend->queue(), "bench");
    Trainer trainer(config, *backend, *comm, random_tokens(config.model.vocabulary));
    backend->pool().reset_peak();
    time_steps(bench, trainer, *backend, figures);
    if (bench.trace) figures.trace = trace_steps(trainer);
  }
  measure_peak();
  figures.tokens_per_s = static_cast<double>(figures.tokens_per_step) / figures.median_s;
  const double flops = figures.tokens_per_s * figures.flops_per_token;
  if (figures.peak_flops > 0) figures.mfu = flops / figures.peak_flops;
  if (config.precision == DType::bf16) figures.nominal_flops = nominal_peak_flops(figures.device);
  if (figures.nominal_flops > 0) figures.nominal_mfu = flops / figures.nominal_flops;
  return figures;
}

}  // namespace katman
