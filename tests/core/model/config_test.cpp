#include "core/model/config.h"

#include <gtest/gtest.h>

#include "tests/support/model.h"

namespace katman::testing {
namespace {

TEST(GptConfig, presets_have_the_published_parameter_counts) {
  EXPECT_EQ(gpt_preset("gpt2-124m").parameters(), 124'439'808);
  EXPECT_EQ(gpt_preset("gpt2-355m").parameters(), 354'823'168);
  EXPECT_EQ(gpt_preset("gpt2-774m").parameters(), 774'030'080);
  EXPECT_EQ(gpt_preset("gpt2-1.5b").parameters(), 1'557'611'200);
  EXPECT_EQ(gpt_preset("gpt1-117m").parameters(), 116'534'784);
  EXPECT_EQ(gpt_preset("llama-160m").parameters(), 162'417'408);
  EXPECT_EQ(gpt_preset("llama-1.1b").parameters(), 1'100'048'384);
  EXPECT_EQ(gpt_preset("llama2-7b").parameters(), 6'738'415'616);
  EXPECT_EQ(gpt_preset("llama3-8b").parameters(), 8'030'261'248);
  EXPECT_EQ(gpt_preset("llama3.2-1b").parameters(), 1'235'814'400);
}

// Brown et al., 2020, table 2.1, in the digits it prints.
TEST(GptConfig, gpt3_presets_have_the_published_sizes) {
  const std::vector<std::pair<std::string, double>> table = {
      {"125m", 125e6}, {"350m", 350e6}, {"760m", 760e6}, {"1.3b", 1.3e9},
      {"2.7b", 2.7e9}, {"6.7b", 6.7e9}, {"13b", 13.0e9}, {"175b", 175.0e9}};
  for (const auto& [size, parameters] : table)
    EXPECT_NEAR(static_cast<double>(gpt_preset("gpt3-" + size).parameters()), parameters,
                0.02 * parameters)
        << size;
  EXPECT_EQ(gpt_preset("gpt3-125m").parameters(), 125'226'240);
  EXPECT_EQ(gpt_preset("gpt3-175b").parameters(), 174'604'259'328);
}

TEST(GptConfig, the_count_is_what_the_model_declares) {
  const auto tp = alone();
  const auto backend = make_backend("reference");
  for (const auto& name : {"tiny", "gpt1-tiny", "gpt3-tiny", "llama-tiny"})
    for (const bool other : {true, false}) {
      GptConfig config = gpt_preset(name);
      config.tied_embedding = config.biases = other;
      config.feed_forward = 100;
      Params params;
      const ModelContext context{*backend, *tp, DType::f32, false, Key(1)};
      const GptStage stage(config, {0, config.layers, true, true}, context, params);
      EXPECT_EQ(params.elements(), config.parameters()) << name;
    }
}

TEST(GptConfig, every_preset_is_a_possible_model) {
  for (const auto& name : gpt_preset_names()) EXPECT_NO_THROW(gpt_preset(name).check()) << name;
}

TEST(GptConfig, flops_are_those_of_the_formula) {
  // 6 * (12 * 12 * 768^2 + 50257 * 768) + 12 * 12 * 768 * 1024 / 2
  EXPECT_DOUBLE_EQ(gpt_preset("gpt2-124m").flops_per_token(), 797'815'296.0);
}

std::string complaint(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(GptConfig, an_unknown_preset_lists_the_known_ones) {
  EXPECT_EQ(complaint([] { gpt_preset("gpt-5"); }),
            "there is no model preset 'gpt-5'; choose one of: gpt1-117m, gpt2-124m, gpt2-355m, "
            "gpt2-774m, gpt2-1.5b, gpt3-125m, gpt3-350m, gpt3-760m, gpt3-1.3b, gpt3-2.7b, "
            "gpt3-6.7b, gpt3-13b, gpt3-175b, llama-160m, llama-1.1b, llama2-7b, llama3-8b, "
            "llama3.2-1b, small, tiny, gpt1-tiny, gpt3-tiny, llama-tiny");
}

TEST(GptConfig, what_cannot_be_is_named_with_the_nearest_value_that_can) {
  GptConfig config = gpt_preset("gpt2-124m");
  config.hidden = 770;
  EXPECT_EQ(complaint([&] { config.check(); }),
            "model.hidden = 770 is not a multiple of model.heads = 12; the nearest value that is: "
            "768");
  config = gpt_preset("gpt2-1.5b");
  EXPECT_EQ(complaint([&] { config.check(2); }),
            "model.heads = 25 is not a multiple of mesh.tp = 2; the nearest value that is: 26");
  config = gpt_preset("tiny");
  EXPECT_EQ(complaint([&] { config.check(1, 3); }),
            "model.layers = 2 cannot fill 3 pipeline stages; use at most 2");
  config.dropout = 1;
  EXPECT_NE(complaint([&] { config.check(); }), "");
  config.dropout = 0;
  config.sequence = 0;
  EXPECT_NE(complaint([&] { config.check(); }), "");
}

TEST(SplitLayers, every_layer_is_in_one_stage_and_the_ends_are_at_the_ends) {
  for (const int64_t layers : {1, 2, 5, 12, 37}) {
    for (int stages = 1; stages <= layers; ++stages) {
      GptConfig config = gpt_preset("small");
      config.layers = layers;
      const auto ranges = split_layers(config, stages);
      ASSERT_EQ(ranges.size(), static_cast<size_t>(stages));
      int64_t next = 0;
      for (size_t i = 0; i < ranges.size(); ++i) {
        EXPECT_EQ(ranges[i].first_layer, next);
        EXPECT_GE(ranges[i].last_layer, next);
        EXPECT_EQ(ranges[i].embedding, i == 0);
        EXPECT_EQ(ranges[i].head, i + 1 == ranges.size());
        next = ranges[i].last_layer;
      }
      EXPECT_EQ(next, layers);
    }
  }
}

TEST(SplitLayers, no_other_split_has_a_faster_slowest_stage) {
  for (const int64_t vocabulary : {100, 2000, 50000}) {
    GptConfig config = gpt_preset("small");
    config.layers = 7;
    config.vocabulary = vocabulary;
    GptConfig empty = config;
    empty.layers = 0;
    const double head = empty.flops_per_token();
    const double layer = (config.flops_per_token() - head) / 7;
    const auto slowest = [&](const std::vector<int64_t>& counts) {  // [stage]
      double most = 0;
      for (size_t i = 0; i < counts.size(); ++i)
        most = std::max(
            most, static_cast<double>(counts[i]) * layer + (i + 1 == counts.size() ? head : 0));
      return most;
    };
    double best = 1e30;
    for (int64_t a = 0; a <= 7; ++a)
      for (int64_t b = 0; a + b <= 7; ++b) best = std::min(best, slowest({a, b, 7 - a - b}));
    std::vector<int64_t> chosen;
    for (const auto& range : split_layers(config, 3))
      chosen.push_back(range.last_layer - range.first_layer);
    EXPECT_DOUBLE_EQ(slowest(chosen), best) << "vocabulary " << vocabulary;
  }
}

TEST(SplitLayers, the_head_of_gpt2_counts_as_several_layers) {
  const auto ranges = split_layers(gpt_preset("gpt2-124m"), 4);
  EXPECT_LT(ranges[3].last_layer - ranges[3].first_layer, 3);
}

}  // namespace
}  // namespace katman::testing
