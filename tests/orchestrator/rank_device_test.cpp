#include "orchestrator/rank_device.h"

#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace katman::testing {
namespace {

TEST(RankDevice, heads_that_a_device_cannot_take_are_refused_before_anything_starts) {
  TrainConfig config = tiny_run();
  config.model.hidden = 1024;
  config.model.heads = 2;
  try {
    fitting(config, "cuda:3", {});
    FAIL() << "heads of 512 were accepted";
  } catch (const UsageError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("at most 256 elements"), std::string::npos) << what;
    EXPECT_NE(what.find("model.heads=4"), std::string::npos) << what;
  }
  EXPECT_EQ(fitting(config, "cpu", {}).model.heads, 2);
}

}  // namespace
}  // namespace katman::testing
