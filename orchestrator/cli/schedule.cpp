// katman schedule: what a pipeline schedule does, costs and would cost.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/cli/cli.h"
#include "parallel/pipeline/check.h"
#include "parallel/pipeline/draw.h"
#include "parallel/pipeline/measure.h"
#include "parallel/pipeline/simulate.h"
#include "parallel/pipeline/transfers.h"

namespace katman {
namespace {

struct Request {
  std::string kind = "1f1b", trace, svg;
  int stages = 4, micros = 8, chunks = 0;
  Costs costs;
  double measure_ms = 0;
  std::vector<std::string> timelines;
  bool transfers = false, json = false;

  int chunks_of(const std::string& of) const {
    return chunks ? chunks : of == "interleaved" ? 2 : 1;
  }
};

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  require(out.good(), "cannot write {}", path);
  spdlog::info("wrote {}", path);
}

void write_pictures(const Request& request, const Timeline& timeline, const std::string& title) {
  if (!request.trace.empty()) write_file(request.trace, chrome_trace(timeline));
  if (!request.svg.empty()) write_file(request.svg, draw_svg(timeline, title));
}

double shortest(const Timeline& timeline) {
  double unit = timeline.makespan_s();
  for (const auto& spans : timeline.ranks)
    for (const Span& span : spans)
      if (span.end_s > span.start_s) unit = std::min(unit, span.end_s - span.start_s);
  return unit;
}

// One line of the comparison: a schedule of compute actions in every way we can look at it.
struct Row {
  std::string kind;
  Simulation simulation;
  double theory = -1, measured = -1;  // bubbles; negative: there is none
};

nlohmann::json to_json(const Row& row) {
  nlohmann::json json = {{"kind", row.kind},
                         {"makespan", row.simulation.timeline.makespan_s()},
                         {"bubble", row.simulation.timeline.bubble()},
                         {"peak_activations", row.simulation.peak_activations}};
  if (row.theory >= 0) json["theory"] = row.theory;
  if (row.measured >= 0) json["measured"] = row.measured;
  return json;
}

std::string percent(double part) { return part < 0 ? "-" : fmt::format("{:.1f} %", 100 * part); }

void print_table(const std::vector<Row>& rows) {
  fmt::print("{:<16}{:>10}{:>10}{:>10}{:>10}  {}\n", "kind", "makespan", "bubble", "theory",
             "measured", "peak activations by rank");
  for (const Row& row : rows)
    fmt::print("{:<16}{:>10.4g}{:>10}{:>10}{:>10}  {}\n", row.kind,
               row.simulation.timeline.makespan_s(), percent(row.simulation.timeline.bubble()),
               percent(row.theory), percent(row.measured),
               fmt::join(row.simulation.peak_activations, " "));
}

Row look_at(const Request& request, const std::string& kind) {
  const int chunks = request.chunks_of(kind);
  const Schedule compute = make_schedule(kind, request.stages, request.micros, chunks);
  verify(with_comms(compute), request.micros);
  Costs costs = request.costs;
  // A chunk is a part of a stage.
  costs.forward_s /= chunks, costs.backward_input_s /= chunks, costs.backward_weight_s /= chunks;
  Row row{kind, simulate(compute, costs)};
  row.theory = theoretical_bubble(kind, request.stages, request.micros, chunks, costs).value_or(-1);
  if (request.measure_ms > 0) {
    const double unit = request.measure_ms / 1e3;
    Costs slept = costs;
    slept.forward_s *= unit, slept.backward_input_s *= unit, slept.backward_weight_s *= unit;
    row.measured = measure(compute, request.micros, slept).bubble();
  }
  return row;
}

void show_kinds(const Request& request) {
  require_usage(int64_t{request.stages} * std::max(1, request.chunks) * request.micros <= 1 << 17,
                "{} stages of {} micro-batches are more than anyone can look at; use fewer of "
                "either",
                request.stages * std::max(1, request.chunks), request.micros);
  std::vector<std::string> kinds = {request.kind};
  if (request.kind == "all") kinds.assign(schedule_kinds.begin(), schedule_kinds.end());
  std::vector<Row> rows;
  for (const auto& kind : kinds) rows.push_back(look_at(request, kind));
  write_pictures(
      request, rows[0].simulation.timeline,
      fmt::format("{}, {} ranks, {} micro-batches, bubble {}", rows[0].kind, request.stages,
                  request.micros, percent(rows[0].simulation.timeline.bubble())));
  if (request.json) {
    auto json = nlohmann::json::array();
    for (const Row& row : rows) json.push_back(to_json(row));
    fmt::print("{}\n", json.dump(1));
    return;
  }
  for (const Row& row : rows) {
    const Timeline& timeline = row.simulation.timeline;
    fmt::print("{}, {} ranks, {} micro-batches\n{}\n", row.kind, request.stages, request.micros,
               draw_text(timeline, shortest(timeline)));
    if (request.transfers)
      fmt::print("{}\n",
                 to_string(with_comms(make_schedule(row.kind, request.stages, request.micros,
                                                    request.chunks_of(row.kind)))));
  }
  print_table(rows);
}

// Timelines that the ranks of a run wrote, beside the simulation with their own costs.
void show_measured(const Request& request) {
  Timeline measured;
  for (const auto& path : request.timelines) {
    std::ifstream in(path);
    require_usage(in.good(), "cannot read the timeline {}", path);
    measured.ranks.push_back(
        parse_spans(std::string{std::istreambuf_iterator<char>(in), {}}, path));
  }
  Row row{"run", simulate(compute_of(measured), costs_of(measured)), -1, measured.bubble()};
  if (request.json)
    fmt::print("{}\n", to_json(row).dump(1));
  else
    print_table({row});
  write_pictures(request, measured, fmt::format("measured, bubble {}", percent(row.measured)));
}

}  // namespace

void add_schedule(CLI::App& app) {
  auto* command = app.add_subcommand("schedule", "show, check and time a pipeline schedule");
  auto request = std::make_shared<Request>();
  command->add_option(
      "--kind", request->kind,
      "gpipe, 1f1b, interleaved, zero_bubble, zero_bubble_h2, file:PATH, or all to compare");
  command->add_option("--stages", request->stages, "pipeline ranks")->check(CLI::Range(1, 1024));
  command->add_option("--micros", request->micros, "micro-batches per step")
      ->check(CLI::Range(1, 8192));
  command->add_option("--chunks", request->chunks, "stages per rank, interleaved only (2)")
      ->check(CLI::Range(1, 64));
  const auto cost = [&](const char* name, double& value, const char* help) {
    command->add_option(name, value, help)->check(CLI::Range(0.0, 1e6));
  };
  cost("--forward", request->costs.forward_s, "time of a stage's forward pass (1)");
  cost("--backward-input", request->costs.backward_input_s, "of its input gradient (1)");
  cost("--backward-weight", request->costs.backward_weight_s, "of its weight gradient (1)");
  cost("--transfer", request->costs.transfer_s, "between two ranks (0)");
  cost("--measure", request->measure_ms,
       "run the real loop on threads whose stages sleep this many ms per unit of time");
  command->add_option("--timeline", request->timelines,
                      "timelines that the ranks of a run wrote, first stage first: show those");
  command->add_flag("--transfers", request->transfers, "print sends, receives and reduces too");
  command->add_option("--trace", request->trace, "write a Chrome trace here");
  command->add_option("--svg", request->svg, "write a picture here");
  command->add_flag("--json", request->json, "print the figures as JSON");
  command->footer("Example: katman schedule --kind zero_bubble --stages 4 --micros 8 --svg zb.svg");
  command->callback([request] {
    if (request->timelines.empty())
      show_kinds(*request);
    else
      show_measured(*request);
  });
}

}  // namespace katman
