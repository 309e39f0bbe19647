// Models of every shape, and what the data may hide from them, through the program.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/small_run.h"

namespace katman::testing {
namespace {

const SmallRun& small_run() {
  static const SmallRun run;
  return run;
}

void expect_same_losses(const std::string& a, const std::string& b) {
  const auto wanted = small_run().losses(a), found = small_run().losses(b);
  ASSERT_EQ(wanted.size(), 12u);
  ASSERT_EQ(found.size(), 12u);
  for (const auto& [step, loss] : wanted) EXPECT_NEAR(found.at(step), loss, 1e-5 * loss) << step;
}

nlohmann::json counters(const std::string& directory) {
  const Result result =
      run({katman(), "checkpoint", "inspect", "--json", small_run().path(directory)});
  return nlohmann::json::parse(result.output);
}

// Run once without a break, once stopped in the middle and gone on with on other ranks.
void expect_same_when_moved(const std::string& name, std::vector<std::string> sets) {
  sets.insert(sets.end(), {"device.precision=fp32", "learning_rate.kind=CONSTANT"});
  const auto train = [&](const std::string& directory, const std::vector<std::string>& more) {
    auto all = sets;
    all.insert(all.end(), more.begin(), more.end());
    const Result result = small_run().train(directory, all);
    ASSERT_EQ(result.status, 0) << result.output;
  };
  train(name, {});
  train(name + "-moved", {"steps=6", "mesh.dp=2", "mesh.pp=2"});
  train(name + "-moved", {"mesh.tp=2", "mesh.sequence_parallel=true"});
  expect_same_losses(name, name + "-moved");
  EXPECT_EQ(counters(name)["counters"], counters(name + "-moved")["counters"]);
  EXPECT_EQ(counters(name)["samples_consumed"], counters(name + "-moved")["samples_consumed"]);
}

TEST(Shapes, a_llama_with_documents_masks_and_a_growing_batch_goes_on_anywhere) {
  expect_same_when_moved(
      "llama", {"model.preset=llama-tiny", "data.document_attention=true", "data.mask_fraction=0.2",
                "data.batch_start_tokens=64", "data.batch_ramp_tokens=1500"});
  const auto steps = counters("llama");
  EXPECT_LT(steps["samples_consumed"], 12 * 8);
}

TEST(Shapes, gpt1_and_gpt3_go_on_anywhere) {
  expect_same_when_moved("gpt1", {"model.preset=gpt1-tiny", "data.mask_fraction=0.5",
                                  "data.mask_loss_only=true", "data.mask_token=3"});
  expect_same_when_moved("gpt3", {"model.preset=gpt3-tiny", "model.window=5"});
}

TEST(Shapes, every_option_of_the_data_changes_what_is_learned) {
  const auto last_loss = [](const std::string& name, std::vector<std::string> sets) {
    sets.push_back("steps=60");  // some of their sequences hold the end of a document
    EXPECT_EQ(small_run().train(name, sets).status, 0);
    return small_run().losses(name).at(59);
  };
  const double plain = last_loss("plain", {});
  EXPECT_NE(last_loss("documents", {"data.document_attention=true"}), plain);
  EXPECT_NE(last_loss("masked", {"data.mask_fraction=0.2"}), plain);
}

// Through transformers' files and back, and what the model says of it.
TEST(Shapes, a_llama_and_a_gpt1_survive_the_exchange) {
  for (const std::string preset : {"llama-tiny", "gpt1-tiny"}) {
    const std::string name = "saved-" + preset, out = small_run().path("hf-" + preset),
                      back = small_run().path("back-" + preset);
    ASSERT_EQ(small_run().train(name, {"model.preset=" + preset}).status, 0);
    const auto katman_with = [](std::vector<std::string> words) {
      words.insert(words.begin(), katman());
      const Result result = run(words);
      EXPECT_EQ(result.status, 0) << result.output;
      return result.output;
    };
    katman_with({"checkpoint", "export", "--to", "hf", "--shard-bytes", "20000", out,
                 small_run().path(name)});
    EXPECT_TRUE(std::filesystem::exists(out + "/model.safetensors.index.json"));
    katman_with({"checkpoint", "import", "--from", "hf", out, "--out", back});
    katman_with({"checkpoint", "diff", small_run().path(name), back});
    const auto ids = [&](const std::string& from) {
      return nlohmann::json::parse(katman_with({"generate", "--checkpoint", from, "--ids", "5,6,7",
                                                "--tokens", "40", "--seed", "5", "--json"}))["ids"];
    };
    EXPECT_EQ(ids(small_run().path(name)), ids(back));
  }
}

TEST(Shapes, a_gpt3_has_no_equivalent_to_export_to) {
  ASSERT_EQ(small_run().train("banded", {"model.preset=gpt3-tiny"}).status, 0);
  const Result result = run({katman(), "checkpoint", "export", "--to", "hf",
                             small_run().path("banded-hf"), small_run().path("banded")});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("model.window = 16"), std::string::npos) << result.output;
}

TEST(Shapes, the_example_runs_can_be_run) {
  for (const auto& entry : std::filesystem::directory_iterator(KATMAN_SOURCE_DIR "/deploy/runs")) {
    const Result result = run({katman(), "train", entry.path().string(), "--check", "--set",
                               "data.corpus=" + small_run().corpus()});
    if (entry.path().filename().string().starts_with("finetune"))  // complete but for its model
      EXPECT_NE(result.output.find("finetune.from is missing"), std::string::npos) << entry.path();
    else
      EXPECT_EQ(result.status, 0) << entry.path() << result.output;
  }
}

}  // namespace
}  // namespace katman::testing
