// What is known before a run: `katman plan` and `katman doctor`.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/small_run.h"

namespace katman::testing {
namespace {

const SmallRun& small_run() {
  static const SmallRun run;
  return run;
}

// `katman plan` of the small run.
Result plan(const std::vector<std::string>& sets, const std::vector<std::string>& options = {}) {
  auto command = small_run().command("never", sets);
  std::ranges::replace(command, std::string("train"), std::string("plan"));
  command.insert(command.end(), options.begin(), options.end());
  return run(command);
}

// Between log lines.
nlohmann::json json_of(const std::string& output) {
  const size_t begin = output.find_first_of("[{"), end = output.find_last_of("]}");
  if (begin == std::string::npos) return {};
  return nlohmann::json::parse(output.substr(begin, end + 1 - begin));
}

TEST(Plan, says_what_every_stage_needs_and_how_long_a_step_computes) {
  const Result result = plan({"mesh.pp=2"});
  EXPECT_EQ(result.status, 0) << result.output;
  for (const char* part : {"    0     1 |", "    1     1 |", "tokens/s", "fits:"})
    EXPECT_NE(result.output.find(part), std::string::npos) << part << " in " << result.output;
}

TEST(Plan, of_another_machine_is_made_from_its_figures) {
  const Result result =
      plan({"mesh.tp=2", "device.kind=cuda"},
           {"--memory", "80", "--tflops", "600", "--bandwidth", "3000", "--json"});
  ASSERT_EQ(result.status, 0) << result.output;
  const auto json = json_of(result.output);
  EXPECT_TRUE(json["fits"]);
  EXPECT_EQ(json["stages"].size(), 1u);
  EXPECT_EQ(json["stages"][0]["packed_bytes"], 0);
  EXPECT_GT(json["stages"][0]["tp_sent_bytes"], 0);
  EXPECT_GT(json["step_s"], 0);
}

TEST(Plan, a_run_that_does_not_fit_ends_with_2_and_the_nearest_that_does) {
  const auto needed = json_of(plan({"data.micro_batch=4"}, {"--json"}).output)["needed_bytes"];
  const std::string less = std::to_string(0.98e-9 * needed.get<double>());
  const Result result = plan({"data.micro_batch=4"}, {"--memory", less});
  EXPECT_EQ(result.status, 2) << result.output;
  EXPECT_NE(result.output.find("--set data.micro_batch="), std::string::npos) << result.output;
}

TEST(Doctor, looks_at_everything_and_its_json_says_the_same) {
  const Result result = run({katman(), "doctor", "--json"});
  const auto findings = json_of(result.output);
  bool well = true;
  for (const auto& finding : findings) well = well && finding["state"] != "MISSING";
  EXPECT_EQ(result.status, well ? 0 : 1) << result.output;
  EXPECT_GE(findings.size(), 12u);
}

}  // namespace
}  // namespace katman::testing
