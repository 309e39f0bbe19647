// `katman finetune` of low-rank adapters beside frozen weights.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/lessons.h"

namespace katman::testing {
namespace {
namespace fs = std::filesystem;
using nlohmann::json;

TEST(Lora, adapters_learn_beside_frozen_weights_and_whoever_loads_them_gets_the_sum) {
  const std::string file = lessons().file("completions.jsonl");
  const std::string section =
      fmt::format("train: \"{}\" held_out: \"{}\" lora {{ rank: 4 }}", file, file);
  const std::vector<std::string> sets = {"steps=80", "learning_rate.peak=2e-2", "mesh.tp=2"};
  const Result result = lessons().finetune("lora", section, sets);
  ASSERT_EQ(result.status, 0) << result.output;
  const std::string directory = lessons().runs().path("lora");
  EXPECT_EQ(run({katman(), "checkpoint", "diff", directory + "/base", lessons().base()}).status, 0);
  const std::string inspected = run({katman(), "checkpoint", "inspect", directory}).output;
  EXPECT_EQ(inspected.find("h.0.attn.qkv.weight"), std::string::npos) << inspected;

  double adapted = 0;  // at the end
  for (const json& line : read_lines(directory + "/metrics.jsonl"))
    if (line.contains("validation_loss")) adapted = line["validation_loss"];
  EXPECT_LT(adapted, 0.9 * lessons().runs().losses("lora").at(0)) << result.output;
  // The first loss of a run that starts from it is that of the sum.
  const auto first_loss = [&](const std::string& name, const std::string& from) {
    const Result started = lessons().finetune(
        name, lessons().completion(), {"steps=1", "finetune.batch=4", "finetune.from=" + from});
    EXPECT_EQ(started.status, 0) << started.output;
    return lessons().runs().losses(name).at(0);
  };
  EXPECT_NEAR(first_loss("from-lora", directory), adapted, 1e-3 * adapted);
  const std::string exported = lessons().runs().path("lora-hf");
  ASSERT_EQ(run({katman(), "checkpoint", "export", "--to", "hf", exported, directory}).status, 0);
  const std::string imported = lessons().runs().path("lora-back");
  ASSERT_EQ(
      run({katman(), "checkpoint", "import", "--from", "hf", exported, "--out", imported}).status,
      0);
  EXPECT_NEAR(first_loss("from-export", imported), adapted, 1e-3 * adapted);

  fs::rename(directory + "/base", directory + "/elsewhere");
  const Result lost = run({katman(), "generate", "--checkpoint", directory, "--prompt", "one"});
  EXPECT_NE(lost.status, 0);
  EXPECT_NE(lost.output.find("keep them together"), std::string::npos) << lost.output;
}

TEST(Lora, adapters_and_a_head_resume_bit_for_bit) {
  const std::string section = lessons().classification() + " lora { rank: 2 on: \"qkv\" }";
  auto sets = Lessons::any_length();
  const Interrupted stopped = lessons().runs().interrupt(
      "lora-stopped", lessons().command("lora-stopped", section, sets), 10, SIGTERM);
  EXPECT_EQ(stopped.status, 0) << stopped.output;
  sets.push_back("steps=" + std::to_string(stopped.steps + 20));
  ASSERT_EQ(lessons().finetune("lora-stopped", section, sets).status, 0);
  ASSERT_EQ(lessons().finetune("lora-whole", section, sets).status, 0);
  EXPECT_EQ(lessons().runs().newest_checkpoint("lora-stopped"),
            lessons().runs().newest_checkpoint("lora-whole"));
}

}  // namespace
}  // namespace katman::testing
