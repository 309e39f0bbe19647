#include "parallel/pipeline/draw.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "parallel/pipeline/simulate.h"

namespace katman::testing {
namespace {

const Timeline& two_ranks() {
  static const Timeline timeline = simulate(one_f_one_b(2, 2), Costs{}).timeline;
  return timeline;
}

TEST(Draw, text_shows_actions_where_they_are_in_time) {
  EXPECT_EQ(draw_text(two_ranks(), 1),
            "F0 F1 .  .  B0 -  .  B1 -  \n"
            ".  F0 B0 -  F1 B1 -  .  .  \n");
}

TEST(Draw, text_names_the_stage_of_later_chunks) {
  EXPECT_EQ(draw_text(simulate(forward_only(1, 1, 2), Costs{}).timeline, 1), "F0  1F0 \n");
}

TEST(Draw, a_chrome_trace_is_json_with_every_span) {
  const auto trace = nlohmann::json::parse(chrome_trace(two_ranks()));
  size_t complete = 0;
  for (const auto& event : trace["traceEvents"]) complete += event["ph"] == "X";
  EXPECT_EQ(complete, 8u);
  const auto& last = trace["traceEvents"].back();
  EXPECT_EQ(last["name"], "1B1");
  EXPECT_EQ(last["tid"], 1);
  EXPECT_EQ(last["ts"], 5e6);
  EXPECT_EQ(last["dur"], 2e6);
}

TEST(Draw, a_picture_has_a_box_for_every_span) {
  const std::string svg = draw_svg(two_ranks(), "two ranks");
  size_t boxes = 0;
  for (size_t at = svg.find("<title>"); at != std::string::npos; at = svg.find("<title>", at + 1))
    ++boxes;
  EXPECT_EQ(boxes, 8u);
  EXPECT_NE(svg.find("two ranks"), std::string::npos);
}

TEST(Draw, spans_round_trip_as_text_and_bad_lines_are_named) {
  const auto& spans = two_ranks().ranks[1];
  const auto back = parse_spans(to_text(spans), "x");
  ASSERT_EQ(back.size(), spans.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    EXPECT_EQ(back[i].action, spans[i].action);
    EXPECT_NEAR(back[i].end_s, spans[i].end_s, 1e-9);
  }
  try {
    parse_spans("0F0 0 1\n0F1 1\n", "rank-0.timeline");
    ADD_FAILURE() << "a broken line was accepted";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("line 2 of rank-0.timeline"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace katman::testing
