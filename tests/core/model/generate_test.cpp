#include "core/model/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <set>

#include "tests/support/model.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {

const std::vector<float> some_logits = {0.5f, 2.0f, -1.0f, 2.0f, 1.0f};

std::map<int32_t, double> frequencies(const Sampling& sampling) {
  std::map<int32_t, double> counts;
  constexpr int draws = 20000;
  for (uint64_t i = 0; i < draws; ++i) counts[sample(some_logits, sampling, i)] += 1.0 / draws;
  return counts;
}

TEST(Sample, temperature_zero_takes_the_most_likely_token) {
  EXPECT_EQ(sample(some_logits, {.temperature = 0}, 0), 1);
}

TEST(Sample, tokens_are_drawn_as_often_as_the_model_says) {
  for (const float temperature : {0.5f, 1.0f, 3.0f}) {
    const auto counts = frequencies({.temperature = temperature});
    double total = 0;
    for (const float logit : some_logits) total += std::exp(logit / temperature);
    for (size_t token = 0; token < some_logits.size(); ++token) {
      const auto found = counts.find(static_cast<int32_t>(token));
      EXPECT_NEAR(found == counts.end() ? 0 : found->second,
                  std::exp(some_logits[token] / temperature) / total, 0.015)
          << token << " at temperature " << temperature;
    }
  }
}

TEST(Sample, top_k_leaves_the_k_most_likely) {
  const auto counts = frequencies({.top_k = 3});
  EXPECT_EQ(counts.size(), 3u);
  EXPECT_TRUE(counts.contains(1) && counts.contains(3) && counts.contains(4));
}

TEST(Sample, top_p_leaves_the_fewest_tokens_that_reach_it) {
  // Probabilities 0.38, 0.38, 0.14, 0.08, 0.02 for tokens 1, 3, 4, 0, 2.
  EXPECT_EQ(frequencies({.top_p = 0.3f}).size(), 1u);
  EXPECT_EQ(frequencies({.top_p = 0.7f}).size(), 2u);
  EXPECT_EQ(frequencies({.top_p = 0.8f}).size(), 3u);
  EXPECT_EQ(frequencies({.top_p = 1}).size(), 5u);
}

TEST(Sample, the_same_seed_and_index_draw_the_same_token) {
  std::vector<int32_t> a, b, c;
  for (uint64_t i = 0; i < 50; ++i) {
    a.push_back(sample(some_logits, {.seed = 1}, i));
    b.push_back(sample(some_logits, {.seed = 1}, i));
    c.push_back(sample(some_logits, {.seed = 2}, i));
  }
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST(Sample, impossible_settings_and_broken_logits_are_refused) {
  EXPECT_THROW(Sampling{.temperature = -1}.check(), UsageError);
  EXPECT_THROW(Sampling{.top_k = -1}.check(), UsageError);
  EXPECT_THROW(Sampling{.top_p = 0}.check(), UsageError);
  EXPECT_THROW(sample(std::vector<float>{1, NAN}, {}, 0), Error);
  EXPECT_THROW(sample({}, {}, 0), Error);
}

// Logits for the token after `tokens`, without any cache.
Values uncached(Model& model, const std::vector<int32_t>& tokens) {
  Micro micro;
  micro.sequences = 1;
  micro.length = static_cast<int64_t>(tokens.size());
  micro.training = false;
  Tape tape(micro, false);
  const Tensor h = model.stage.forward(make_ids(*model.backend, tokens), tape);
  return read(*model.backend, model.stage.logits(h.slice(micro.length - 1, 1)));
}

TEST(Generate, cached_logits_are_those_of_the_whole_text) {
  const auto tp = alone();
  for (const auto& [name, config] : little_models()) {
    SCOPED_TRACE(name);
    Model model(config, *tp);
    Generator generator(config, model.stage, *model.backend);
    std::vector<int32_t> text = {5, 17, 36};
    std::vector<int32_t> unread = text;
    while (text.size() <= 8) {
      const Values logits = generator.read(unread);
      EXPECT_LT(distance(logits, uncached(model, text)), 1e-5) << text.size() << " tokens";
      unread = {static_cast<int32_t>(3 * text.size())};
      text.push_back(unread[0]);
    }
  }
}

TEST(Generate, a_text_longer_than_the_positions_goes_on_from_its_second_half) {
  const auto tp = alone();
  for (const auto& [name, config] : little_models()) {  // 8 positions
    SCOPED_TRACE(name);
    Model model(config, *tp);
    Generator generator(config, model.stage, *model.backend);
    generator.read(std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8});
    EXPECT_LT(distance(generator.read(std::vector<int32_t>{9}), uncached(model, {6, 7, 8, 9})),
              1e-5);
    EXPECT_LT(distance(generator.read(std::vector<int32_t>{10}), uncached(model, {6, 7, 8, 9, 10})),
              1e-5);
    Generator fresh(config, model.stage, *model.backend);
    EXPECT_LT(distance(fresh.read(std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}),
                       uncached(model, {6, 7, 8, 9})),
              1e-5);
  }
}

TEST(Generate, stops_at_the_end_token_at_the_limit_and_when_told) {
  const auto tp = alone();
  const GptConfig config = little_gpt();
  Model model(config, *tp);
  const std::vector<int32_t> prompt = {5};
  const auto run = [&](int64_t most, int32_t end, size_t patience) {
    Generator generator(config, model.stage, *model.backend);
    size_t seen = 0;
    return generate(generator, prompt, most, {.seed = 3}, end,
                    [&](int32_t) { return ++seen < patience; });
  };
  const auto all = run(20, -1, 100);
  ASSERT_EQ(all.size(), 20u);
  EXPECT_EQ(run(20, -1, 7), std::vector<int32_t>(all.begin(), all.begin() + 7));
  const int32_t end = all[4];
  const auto first = std::ranges::find(all, end);
  EXPECT_EQ(run(20, end, 100), std::vector<int32_t>(all.begin(), first));
}

TEST(Generate, every_tensor_rank_draws_the_same_text) {
  const GptConfig config = little_gpt();
  std::set<std::vector<int32_t>> texts;
  std::mutex mutex;
  for (const int ranks : {1, 2, 4}) {
    run_ranks(ranks, [&](Comm& world) {
      Model model(config, world);
      Generator generator(config, model.stage, *model.backend);
      const auto text = generate(generator, std::vector<int32_t>{1, 2, 3}, 12, {.seed = 5}, -1,
                                 [](int32_t) { return true; });
      const std::lock_guard lock(mutex);
      texts.insert(text);
    });
  }
  EXPECT_EQ(texts.size(), 1u);
}

}  // namespace
}  // namespace katman::testing
