// katman plan: what a run will need, before it runs.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "orchestrator/cli/cli.h"
#include "orchestrator/cli/run_option.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/plan_table.h"
#include "orchestrator/rank_device.h"
#include "orchestrator/run_data.h"

namespace katman {
namespace {

using Json = nlohmann::ordered_json;

struct Request {
  RunOption run;
  double memory_gb = 0, tflops = 0, gb_per_s = 0;
  bool json = false;
};

// The corpus's tokenizer says how large the vocabulary is; a plan can do without a corpus.
int64_t vocabulary_of(const RunSpec& spec) {
  if (std::filesystem::exists(spec.data().corpus())) return open_run_data(spec)->vocabulary();
  require_usage(spec.model().has_vocabulary(),
                "{} does not exist yet: say how large its vocabulary will be, --set "
                "model.vocabulary=50257",
                spec.data().corpus());
  return spec.model().vocabulary();
}

struct Outlook {
  TrainConfig config;
  std::string device;
  std::vector<StagePlan> plan;
  int64_t needed = 0, memory = 0;  // bytes of a rank
  std::string whose;               // memory: measured here, or given
  DeviceSpeed speed;
  StepTime time;
};

Outlook look_ahead(const Request& request) {
  const RunSpec spec = request.run.completed();
  Outlook ahead;
  ahead.config = spec.has_finetune() ? train_config(spec, *open_run_data(spec))
                                     : train_config(spec, vocabulary_of(spec));
  const bool elsewhere = request.memory_gb > 0;
  const LocalPlace place{0, ahead.config.mesh.size()};
  const std::string& kind = spec.device().kind();
  ahead.device = elsewhere && kind.starts_with("cuda") ? "cuda:0" : device_of_rank(kind, place);
  ahead.plan = plan_run(ahead.config, ahead.device);
  ahead.needed = needed_bytes(ahead.plan, !ahead.device.starts_with("cuda"));
  ahead.memory = elsewhere ? static_cast<int64_t>(request.memory_gb * 1e9)
                           : memory_for_rank(ahead.device, place);
  ahead.whose = elsewhere ? ahead.device + " there" : ahead.device;
  if (request.tflops > 0 && request.gb_per_s > 0) {
    ahead.speed = {request.tflops * 1e12, request.gb_per_s * 1e9};
  } else if (!elsewhere) {
    const auto threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency())) /
                         ahead.config.mesh.size();
    const auto backend = make_backend(ahead.device, std::max(1, threads));
    ahead.speed = measured_speed(*backend, ahead.config.precision);
  }
  if (ahead.speed.flops > 0) ahead.time = estimate_step(ahead.config, ahead.plan, ahead.speed);
  return ahead;
}

double tokens_of(const TrainConfig& config) {
  return static_cast<double>(config.batch_sequences * config.model.sequence);
}

void show(const Outlook& ahead) {
  fmt::print(
      "{} on {}, in GB per rank (packed: copies of weights that products read; save: of the "
      "host, while a checkpoint is written; sent: per step)\n\n",
      to_string(ahead.config.mesh), ahead.device);
  for (const std::string& line : plan_table(ahead.plan)) fmt::print("{}\n", line);
  fmt::print("\n");
  if (ahead.time.seconds > 0)
    fmt::print(
        "a step of {:.0f} tokens computes for {:.3g} s at the least ({:.3g} tokens/s), {:.1f} % of "
        "it "
        "bubble: products at {:.3g} TFLOP/s, all else at {:.3g} GB/s; transfers not counted\n",
        tokens_of(ahead.config), ahead.time.seconds, tokens_of(ahead.config) / ahead.time.seconds,
        100 * ahead.time.bubble, ahead.speed.flops * 1e-12, ahead.speed.bytes * 1e-9);
  require_fit(ahead.config, ahead.device, ahead.memory, ahead.whose);
  fmt::print("fits: a rank needs {:.2f} GB, and {} has {:.2f} GB for it\n",
             static_cast<double>(ahead.needed) * 1e-9, ahead.whose,
             static_cast<double>(ahead.memory) * 1e-9);
}

Json to_json(const Outlook& ahead) {
  Json stages = Json::array();
  for (const StagePlan& s : ahead.plan)
    stages.push_back({{"stage", s.stage},
                      {"ranks", s.ranks},
                      {"weights_bytes", s.weights},
                      {"gradients_bytes", s.gradients},
                      {"optimizer_bytes", s.optimizer},
                      {"packed_bytes", s.packed},
                      {"logits_bytes", s.logits},
                      {"activations_bytes", s.activations},
                      {"peak_bytes", s.peak},
                      {"device_bytes", s.held},
                      {"save_bytes", s.snapshot},
                      {"product_flops", s.step.product_flops},
                      {"moved_bytes", s.step.moved_bytes},
                      {"tp_sent_bytes", s.traffic.tp_bytes},
                      {"dp_sent_bytes", s.traffic.dp_bytes},
                      {"pp_sent_bytes", s.traffic.pp_bytes}});
  return {{"device", ahead.device},
          {"needed_bytes", ahead.needed},
          {"memory_bytes", ahead.memory},
          {"fits", ahead.needed <= ahead.memory},
          {"step_s", ahead.time.seconds},
          {"bubble", ahead.time.bubble},
          {"stages", stages}};
}

void run(const Request& request) {
  const Outlook ahead = look_ahead(request);
  if (request.json)
    fmt::print("{}\n", to_json(ahead).dump());
  else
    show(ahead);
}

}  // namespace

void add_plan(CLI::App& app) {
  auto request = std::make_shared<Request>();
  auto* command = app.add_subcommand("plan", "what a run will need, before it runs");
  add_run_option(*command, request->run);
  command->add_option("--memory", request->memory_gb,
                      "GB of a rank's device, for a run on another machine than this one");
  command->add_option("--tflops", request->tflops,
                      "of its matrix products; default: measured here");
  command->add_option("--bandwidth", request->gb_per_s,
                      "GB/s of its memory; default: measured here");
  command->add_flag("--json", request->json, "the plan as JSON");
  command->footer(
      "Every stage runs one step on a device that computes nothing, so that memory is exact.\n"
      "Example: katman plan run.textproto --set mesh.pp=4 --set device.kind=cuda --memory 80 "
      "--tflops 600 --bandwidth 3000");
  command->callback([request] { run(*request); });
}

}  // namespace katman
