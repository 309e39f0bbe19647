#include "orchestrator/eval/table.h"

#include <gtest/gtest.h>

namespace katman::testing {
namespace {

TaskResult result() {
  return {.task = "a, b/c",
          .kind = "multiple_choice",
          .shots = 5,
          .examples = 10,
          .metrics = {{"acc", 0.5, 0.1}, {"f1", 0.25}}};
}

TEST(SeriesOf, results_have_names_that_a_list_and_a_path_can_hold) {
  const Scalars expected = {
      {"eval/a__b_c/5-shot/acc", 0.5},
      {"eval/a__b_c/5-shot/acc_stderr", 0.1},
      {"eval/a__b_c/5-shot/f1", 0.25},
  };
  EXPECT_EQ(series_of({result()}), expected);
}

TEST(ResultTable, has_a_line_for_every_metric_under_its_head) {
  const auto lines = result_table({result()});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_NE(lines[1].find("+- 0.1000"), std::string::npos) << lines[1];
  EXPECT_EQ(lines[2].find("+-"), std::string::npos) << lines[2];
}

TEST(TruncationNote, is_empty_where_everything_fitted) {
  TaskResult some = result();
  EXPECT_EQ(truncation_note(some, 32), "");
  some.truncated = 3;
  EXPECT_EQ(truncation_note(some, 32),
            "a, b/c: 3 requests are longer than the model's 32 positions and lost their beginning");
}

}  // namespace
}  // namespace katman::testing
