// Figures over steps: nothing disappears by zooming out, nothing counts twice.
#include "orchestrator/control/series.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "orchestrator/control/metrics.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

class SeriesTest : public ::testing::Test {
 protected:
  SeriesReply read(const std::string& name, uint32_t most = 1000) {
    SeriesRequest request;
    request.set_run("a");
    request.set_name(name);
    request.set_most_points(most);
    return series_.read(request);
  }
  Series::News follow() { return series_.follow("a", metrics_); }

  TempDir dir_;
  const std::string metrics_ = dir_.file("metrics.jsonl");
  Database database_{dir_.file("katman.db")};
  Series series_{database_};
};

TEST_F(SeriesTest, a_spike_and_a_nan_are_seen_at_every_zoom) {
  JsonLines lines(metrics_, 1);
  double sum = 0;
  for (int64_t step = 0; step < 5000; ++step) {
    const double value = step == 1234 ? 100 : step == 4321 ? -7 : 3 + 0.1 * std::sin(step);
    sum += step == 2222 ? 0 : value;
    lines.write(step, {{"loss", step == 2222 ? NAN : value}});
  }
  EXPECT_EQ(follow().steps_done, 5000u);
  for (const uint32_t most : {100'000u, 1000u, 100u, 10u, 2u}) {
    const SeriesReply reply = read("loss", most);
    EXPECT_LE(reply.points_size(), static_cast<int>(most));
    EXPECT_GE(reply.points_size() * 4 + 4, std::min(5000, static_cast<int>(most)));
    double low = 1e9, high = -1e9, total = 0;
    uint32_t bad = 0;
    for (const SeriesPoint& point : reply.points()) {
      if (!std::isnan(point.low())) low = std::min(low, point.low());
      if (!std::isnan(point.high())) high = std::max(high, point.high());
      bad += point.bad();
      const double width = std::min<double>(static_cast<double>(reply.width()),
                                            5000 - static_cast<double>(point.step()));
      if (!std::isnan(point.mean())) total += point.mean() * (width - point.bad());
    }
    EXPECT_EQ(high, 100) << most;
    EXPECT_EQ(low, -7) << most;
    EXPECT_EQ(bad, 1u) << most;
    EXPECT_NEAR(total, sum, 1e-6) << most;
  }
}

TEST_F(SeriesTest, each_line_counts_once_however_it_arrives) {
  {
    std::ofstream out(metrics_);
    out << R"({"step":0,"generation":1,"loss":5})"
        << "\n"
        << R"({"step":1,"gener)";
  }
  EXPECT_EQ(follow().steps_done, 1u);
  EXPECT_EQ(follow().steps_done, 0u) << "half a line is none";
  {
    std::ofstream out(metrics_, std::ios::app);
    out << R"(ation":1,"loss":4})"
        << "\nnot json\n"
        << R"({"step":2,"loss":null})"
        << "\n";
  }
  EXPECT_EQ(follow().steps_done, 3u);
  Series again(database_);  // the next orchestrator
  EXPECT_EQ(again.follow("a", metrics_).steps_done, 0u);
  EXPECT_EQ(read("loss").points_size(), 3);
}

TEST_F(SeriesTest, steps_that_were_done_again_are_discarded_but_seen) {
  {
    JsonLines first(metrics_, 1);
    for (int64_t step = 0; step < 10; ++step) first.write(step, {{"loss", 5}});
    JsonLines second(metrics_, 2);
    for (int64_t step = 6; step < 12; ++step) second.write(step, {{"loss", 4}});
  }
  follow();
  int discarded = 0, counting = 0;
  const SeriesReply losses = read("loss");
  for (const SeriesPoint& point : losses.points()) {
    EXPECT_EQ(point.discarded(), point.generation() == 1 && point.step() >= 6);
    (point.discarded() ? discarded : counting) += 1;
  }
  EXPECT_EQ(discarded, 4);
  EXPECT_EQ(counting, 12);
}

TEST_F(SeriesTest, a_long_file_is_read_by_and_by_or_to_its_end) {
  JsonLines lines(metrics_, 1);
  constexpr int64_t steps = 60'000;
  for (int64_t step = 0; step < steps; ++step)
    lines.write(step, {{"loss", 1.0}, {"grad_norm", 1.0 / 3}, {"tokens_per_s", 1e6 / 7}});
  const uint64_t some = follow().steps_done;
  EXPECT_GT(some, 0u);
  EXPECT_LT(some, steps) << "not all at once";
  const Series::News rest = series_.follow_to_the_end("a", metrics_);
  EXPECT_EQ(rest.steps_done, steps);
  EXPECT_EQ(rest.newest.at("loss"), 1);
  EXPECT_FALSE(follow().any);
  EXPECT_EQ(read("loss", 100'000).points_size(), steps);
}

TEST_F(SeriesTest, a_window_is_read_as_finely_as_there_is_room) {
  JsonLines lines(metrics_, 1);
  for (int64_t step = 0; step < 20'000; ++step)
    lines.write(step, {{"loss", static_cast<double>(step)}});
  while (follow().steps_done < 20'000) {
  }
  SeriesRequest request;
  request.set_run("a");
  request.set_name("loss");
  request.set_most_points(200);
  request.set_from(12'345);
  request.set_to(12'445);
  const SeriesReply fine = series_.read(request);
  EXPECT_EQ(fine.width(), 1u);
  ASSERT_EQ(fine.points_size(), 100);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(fine.points(i).mean(), 12'345 + i);

  request.set_to(19'999);
  const SeriesReply wide = series_.read(request);
  EXPECT_EQ(wide.width(), 64u);
  EXPECT_LE(wide.points_size(), 200);
  EXPECT_EQ(wide.points(0).step(), 12'345u) << "the first bucket is cut where the window is";
  EXPECT_EQ(wide.points(0).low(), 12'345);
  EXPECT_EQ(wide.points(wide.points_size() - 1).high(), 19'998);
  request.set_from(30'000);
  request.set_to(0);
  EXPECT_EQ(series_.read(request).points_size(), 0);
}

TEST_F(SeriesTest, no_bucket_holds_both_what_counts_and_what_was_discarded) {
  {
    JsonLines first(metrics_, 1);
    for (int64_t step = 0; step < 5000; ++step) first.write(step, {{"seconds", 5}});
    JsonLines second(metrics_, 2);
    for (int64_t step = 3001; step < 6000; ++step) second.write(step, {{"seconds", 4}});
  }
  follow();
  for (const uint32_t most : {10'000u, 50u, 5u}) {
    const SeriesReply reply = read("seconds", most);
    for (const SeriesPoint& point : reply.points()) {
      EXPECT_EQ(point.low(), point.high());
      EXPECT_EQ(point.mean(), point.generation() == 1 ? 5 : 4);
      if (!point.discarded()) {
        EXPECT_EQ(point.generation() == 1, point.step() < 3001) << most;
      }
    }
  }
  const Series::Totals totals = series_.totals("a", "seconds");
  EXPECT_EQ(totals.counting.count, 6000);
  EXPECT_EQ(totals.counting.sum, 3001 * 5 + 2999 * 4);
  EXPECT_EQ(totals.discarded.count, 1999);
  EXPECT_EQ(totals.discarded.sum, 1999 * 5);
  EXPECT_EQ(series_.totals("a", "nothing").counting.count, 0);
}

}  // namespace
}  // namespace katman::testing
