#include "parallel/pipeline/draw.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"

namespace katman {
namespace {

// The stage is told by the rank, except where a rank has several.
std::string label(const Action& a, size_t ranks) {
  const std::string whole = to_string(a);
  const bool first_chunk = a.stage < static_cast<int>(ranks);
  return first_chunk ? whole.substr(whole.find_first_not_of("0123456789")) : whole;
}

const char* color(Do what) {
  switch (what) {
    case Do::forward:
      return "#4c78a8";
    case Do::backward:
      return "#54a24b";
    case Do::backward_input:
      return "#72b7b2";
    case Do::backward_weight:
      return "#88bd6b";
    case Do::reduce:
      return "#b279a2";
    default:
      return "#e8a0a0";  // waiting for a transfer
  }
}

}  // namespace

std::string draw_text(const Timeline& timeline, double unit_s) {
  size_t width = 3;
  for (const auto& spans : timeline.ranks)
    for (const Span& span : spans)
      if (is_compute(span.action.what))
        width = std::max(width, label(span.action, timeline.ranks.size()).size() + 1);
  const auto column = [&](double time) { return static_cast<size_t>(std::lround(time / unit_s)); };
  const size_t columns = column(timeline.makespan_s());
  std::string text;
  for (const auto& spans : timeline.ranks) {
    std::vector<std::string> cells(columns, ".");
    for (const Span& span : spans) {
      if (!is_compute(span.action.what)) continue;
      for (size_t c = column(span.start_s); c < std::min(columns, column(span.end_s)); ++c)
        cells[c] = c == column(span.start_s) ? label(span.action, timeline.ranks.size()) : "-";
    }
    for (const auto& cell : cells) text += fmt::format("{:<{}}", cell, width);
    text += '\n';
  }
  return text;
}

std::string chrome_trace(const Timeline& timeline) {
  auto events = nlohmann::json::array();
  for (size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
    events.push_back({{"ph", "M"},
                      {"name", "thread_name"},
                      {"pid", 0},
                      {"tid", rank},
                      {"args", {{"name", fmt::format("stage rank {}", rank)}}}});
    for (const Span& span : timeline.ranks[rank])
      events.push_back({{"ph", "X"},
                        {"name", to_string(span.action)},
                        {"cat", is_compute(span.action.what) ? "compute" : "transfer"},
                        {"pid", 0},
                        {"tid", rank},
                        {"ts", span.start_s * 1e6},
                        {"dur", (span.end_s - span.start_s) * 1e6}});
  }
  return nlohmann::json{{"traceEvents", events}}.dump(1);
}

std::string draw_svg(const Timeline& timeline, const std::string& title) {
  constexpr double width = 1200, row = 28, left = 60, top = 34;
  const double makespan = std::max(timeline.makespan_s(), 1e-12);
  const double height = top + row * static_cast<double>(timeline.ranks.size()) + 8;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" font-family=\"sans-"
      "serif\" font-size=\"11\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"20\" font-size=\"14\">{3}</text>\n",
      width + left + 8, height, left, title);
  for (size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
    const double y = top + row * static_cast<double>(rank);
    svg += fmt::format("<text x=\"8\" y=\"{}\">rank {}</text>\n", y + 17, rank);
    for (const Span& span : timeline.ranks[rank]) {
      const double x = left + width * span.start_s / makespan;
      const double w = width * (span.end_s - span.start_s) / makespan;
      svg += fmt::format(
          "<rect x=\"{:.2f}\" y=\"{}\" width=\"{:.2f}\" height=\"{}\" fill=\"{}\" "
          "stroke=\"white\" stroke-width=\"0.5\"><title>{} {:.6f} s</title></rect>\n",
          x, y, w, row - 4, color(span.action.what), to_string(span.action),
          span.end_s - span.start_s);
      if (is_compute(span.action.what) && w > 16)
        svg += fmt::format(
            "<text x=\"{:.2f}\" y=\"{}\" text-anchor=\"middle\" fill=\"white\">{}</text>\n",
            x + w / 2, y + 16, span.action.micro);
    }
  }
  return svg + "</svg>\n";
}

std::string to_text(const std::vector<Span>& spans) {
  std::string text;
  for (const Span& span : spans)
    text += fmt::format("{} {:.9f} {:.9f}\n", to_string(span.action), span.start_s, span.end_s);
  return text;
}

std::vector<Span> parse_spans(std::string_view text, const std::string& name) {
  std::vector<Span> spans;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    std::string action;
    Span span;
    const bool good = static_cast<bool>(words >> action >> span.start_s >> span.end_s);
    require_usage(good && span.end_s >= span.start_s,
                  "line {} of {} is not an action with its start and end in seconds", number, name);
    span.action = parse_schedule(action)[0][0];
    spans.push_back(span);
  }
  return spans;
}

}  // namespace katman
