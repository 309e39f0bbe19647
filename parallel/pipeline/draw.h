// Timelines for people: as text, as a Chrome trace, as a picture; and as lines to keep.
#pragma once

#include <string>
#include <string_view>

#include "parallel/pipeline/timeline.h"

namespace katman {

// A line per rank, a column per `unit_s`: "F0 F1 .. B0 -- F2": dots where the rank is idle, dashes
// where an action goes on. Computation only.
std::string draw_text(const Timeline& timeline, double unit_s);

// The trace event format that chrome://tracing and Perfetto read; a rank is a thread.
std::string chrome_trace(const Timeline& timeline);

// A picture of the whole timeline: a row per rank, colors by action, micro-batches numbered.
std::string draw_svg(const Timeline& timeline, const std::string& title);

// One rank's spans, a line each: action, start and end in seconds. Reads what it writes; throws
// UsageError with the line number for anything else.
std::string to_text(const std::vector<Span>& spans);
std::vector<Span> parse_spans(std::string_view text, const std::string& name);

}  // namespace katman
