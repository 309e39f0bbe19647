#include "orchestrator/dashboard/views.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/spec.h"
#include "orchestrator/documents.h"
#include "orchestrator/run_data.h"
#include "parallel/pipeline/draw.h"
#include "parallel/pipeline/measure.h"
#include "parallel/plan/plan.h"

namespace katman {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Nine digits draw every chart; the values themselves lie in metrics.jsonl.
json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::stod(fmt::format("{:.9g}", value));
}

std::string letters(Do what) {
  const std::string text = to_string(Action{what, 0, 0});  // "0SF0"
  const size_t end = text.find_last_not_of("0123456789");
  return text.substr(1, end);
}

Timeline read_timeline(const fs::path& directory) {
  Timeline timeline;
  while (true) {
    const fs::path path = directory / fmt::format("stage-{}", timeline.ranks.size());
    if (!fs::exists(path)) return timeline;
    timeline.ranks.push_back(parse_spans(text_of(path), path.string()));
  }
}

// What the fullest rank asks of its device, by what for. Where a run leaves the device open, as on
// a CPU: nobody here knows what the machines of its ranks have.
json memory_of(const TrainConfig& config, const std::string& kind) {
  const std::string device = kind.starts_with("cuda") ? "cuda:0" : kind == "auto" ? "cpu" : kind;
  const auto stages = plan_run(config, device);
  const StagePlan& fullest = *std::ranges::max_element(stages, {}, &StagePlan::held);
  json memory = json::array();
  for (const auto& [what, bytes] :
       {std::pair("weights", fullest.weights), std::pair("gradients", fullest.gradients),
        std::pair("optimizer", fullest.optimizer), std::pair("packed weights", fullest.packed),
        std::pair("logits", fullest.logits), std::pair("activations", fullest.activations),
        std::pair("in all", fullest.held)})
    if (bytes > 0) memory.push_back({what, bytes});
  return memory;
}

}  // namespace

json columns_of(const SeriesReply& series) {
  json columns = {{"width", series.width()}};
  json step = json::array(), mean = json::array(), low = json::array(), high = json::array(),
       bad = json::array(), generation = json::array(), discarded = json::array();
  for (const SeriesPoint& point : series.points()) {
    step.push_back(point.step());
    mean.push_back(series.width() == 1 && std::isfinite(point.mean()) ? json(point.mean())
                                                                      : rounded(point.mean()));
    if (series.width() > 1) {
      low.push_back(rounded(point.low()));
      high.push_back(rounded(point.high()));
    }
    bad.push_back(point.bad());
    generation.push_back(point.generation());
    discarded.push_back(point.discarded() ? 1 : 0);
  }
  columns["step"] = std::move(step);
  columns["mean"] = std::move(mean);
  if (series.width() > 1) {
    columns["low"] = std::move(low);
    columns["high"] = std::move(high);
  }
  columns["bad"] = std::move(bad);
  columns["generation"] = std::move(generation);
  columns["discarded"] = std::move(discarded);
  return columns;
}

json timeline_view(const RunSpec& spec) try {
  const Timeline timeline = read_timeline(fs::path(spec.directory()) / "timelines");
  if (timeline.ranks.empty()) return json::object();
  json ranks = json::array();
  for (const auto& spans : timeline.ranks) {
    json rank = json::array();
    for (const Span& span : spans)
      rank.push_back({letters(span.action.what), span.action.stage, span.action.micro,
                      rounded(span.start_s), rounded(span.end_s)});
    ranks.push_back(std::move(rank));
  }
  const Costs costs = costs_of(timeline);
  Costs alike = costs;
  alike.stage_factor.clear();
  return {{"kind", spec.mesh().schedule()},
          {"makespan_s", timeline.makespan_s()},
          {"measured", timeline.bubble()},
          {"simulated", simulate(compute_of(timeline), costs).timeline.bubble()},
          {"theory", simulate(compute_of(timeline), alike).timeline.bubble()},
          {"ranks", std::move(ranks)}};
} catch (const Error& error) {
  // Stages write one after the other: for a moment, two steps may lie side by side.
  spdlog::debug("{}: {}", spec.directory(), error.what());
  return json::object();
}

json ranks_view(const RunSpec& spec) {
  const json ranks =
      json::parse(text_of(fs::path(spec.directory()) / "ranks.json"), nullptr, false);
  return ranks.is_object() ? ranks : json::object();
}

json batch_view(const RunSpec& spec, uint64_t step, uint64_t first, uint64_t count) {
  constexpr uint64_t most_samples = 64;
  const RunSamples run(spec);
  require_usage(step < spec.steps(), "the run has {} steps; step {} is none of them", spec.steps(),
                step);
  require_usage(first < run.batch(), "the batch has {} samples; {} is none of them", run.batch(),
                first);
  count = std::min({count, most_samples, run.batch() - first});
  json samples = json::array();
  for (uint64_t i = first; i < first + count; ++i) samples.push_back(run.view(run.index(step, i)));
  return {{"step", step},
          {"batch", run.batch()},
          {"sequence", run.sequence()},
          {"documents_of_corpus", run.corpus().documents(Split::train)},
          {"sources", run.corpus().has_sources(Split::train)},
          {"samples", std::move(samples)}};
}

json plan_view(const RunSpec& spec) {
  const TrainConfig config = train_config(spec, *open_run_data(spec));
  config.check();
  const Mesh& mesh = config.mesh;
  const int64_t replica = (config.batch_sequences + mesh.dp - 1) / mesh.dp;
  const int64_t micros = (replica + config.micro_batch - 1) / config.micro_batch;
  return {{"run_file", to_text(spec)},
          {"parameters", static_cast<double>(config.model.parameters())},
          {"ranks", mesh.size()},
          {"layout", to_string(mesh)},
          {"steps", spec.steps()},
          {"tokens_per_step", config.batch_sequences * config.model.sequence},
          {"micro_batches", micros},
          {"bubble",
           simulate(config.schedule_over(static_cast<int>(micros)), Costs{}).timeline.bubble()},
          {"memory", memory_of(config, spec.device().kind())}};
}

}  // namespace katman
