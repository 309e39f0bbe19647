#include "orchestrator/bench/generate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/model/generate.h"
#include "core/model/presets.h"
#include "orchestrator/bench/bandwidth.h"
#include "parallel/comm/threads.h"

namespace katman {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t warm_up_steps = 4;

// What every token needs: all but the tables of which it takes one row each.
int64_t weight_bytes(const GptConfig& config, Params& params) {
  int64_t bytes = 0;
  for (const Param& param : params.all()) {
    const bool looked_up =
        param.name == "wpe.weight" || (param.name == "wte.weight" && !config.tied_embedding);
    if (!looked_up) bytes += param.value.bytes();
  }
  return bytes;
}

std::vector<Prompt> prompts(const GenerateBench& bench, const GptConfig& config) {
  std::vector<Prompt> all(static_cast<size_t>(bench.batch));
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].most = bench.tokens + static_cast<int64_t>(warm_up_steps) + 1;
    all[i].sampling = {.top_p = 0.9f, .seed = i};
    for (int64_t t = 0; t < bench.prompt; ++t)
      all[i].ids.push_back(static_cast<int32_t>(random_bits(Key(i), static_cast<uint64_t>(t)) %
                                                static_cast<uint64_t>(config.vocabulary)));
  }
  return all;
}

// When each step ended, the prompt's own first.
std::vector<Clock::time_point> step_ends(Reader& reader, const std::vector<Prompt>& prompts) {
  std::vector<Clock::time_point> ends;
  size_t drawn = 0;
  generate(reader, prompts, -1, std::ssize(prompts), {[&](size_t, const Drawn&) {
             if (++drawn % prompts.size() == 0) ends.push_back(Clock::now());
             return true;
           }});
  return ends;
}

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

void check(const GenerateBench& bench, const GptConfig& config) {
  require_usage(bench.batch >= 1 && bench.prompt >= 1 && bench.tokens >= 1,
                "a text, a token of prompt and a token to time are the least there can be");
  require_usage(bench.precision == "fp32" || bench.precision == "bf16",
                "--precision {}: use fp32 or bf16", bench.precision);
  require_usage(bench.prompt + bench.tokens + 5 <= config.sequence,
                "{} + {} tokens do not fit into the {} positions of {}", bench.prompt,
                bench.tokens + 5, config.sequence, bench.preset);
}

}  // namespace

GenerateFigures run_generate_bench(const GenerateBench& bench) {
  const GptConfig config = gpt_preset(bench.preset);
  check(bench, config);
  const auto backend = make_backend(bench.device, bench.threads);
  ThreadWorld world(1);
  const auto comm = world.comm(0);
  const DType type = bench.precision == "fp32" ? DType::f32 : DType::bf16;
  const ModelContext context{*backend, *comm, type, false, Key(1)};
  Params params;
  GptStage stage(config, {0, config.layers, true, true}, context, params);
  params.allocate(*backend, type, int64_t{16} << 20, 16, false);
  params.initialise(*backend, Key(1));
  Reader reader(config, {&stage}, context, *comm);

  GenerateFigures figures;
  figures.device = backend->name();
  figures.weight_bytes = weight_bytes(config, params);
  // Before and after: the better one is the machine's, whatever else it was doing.
  const double before = measured_read_bandwidth(bench.threads);
  const auto begin = Clock::now();
  const auto ends = step_ends(reader, prompts(bench, config));
  figures.bandwidth = std::max(before, measured_read_bandwidth(bench.threads));
  figures.prompt_tokens_per_s =
      static_cast<double>(bench.batch * bench.prompt) / seconds_between(begin, ends.front());
  std::vector<double> steps;
  for (size_t i = warm_up_steps + 1; i < ends.size(); ++i)
    steps.push_back(seconds_between(ends[i - 1], ends[i]));
  std::ranges::sort(steps);
  figures.median_s = steps[steps.size() / 2];
  figures.tokens_per_s = static_cast<double>(bench.batch) / figures.median_s;
  figures.bandwidth_share =
      static_cast<double>(figures.weight_bytes) / figures.median_s / figures.bandwidth;
  return figures;
}

}  // namespace katman
