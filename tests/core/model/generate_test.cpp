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

int32_t drawn(std::vector<float> logits, const Sampling& sampling, uint64_t index,
              const std::vector<int32_t>& seen = {}) {
  return sample(logits, sampling, index, seen);
}

std::map<int32_t, double> frequencies(const Sampling& sampling) {
  std::map<int32_t, double> counts;
  constexpr int draws = 20000;
  for (uint64_t i = 0; i < draws; ++i) counts[drawn(some_logits, sampling, i)] += 1.0 / draws;
  return counts;
}

TEST(Sample, temperature_zero_takes_the_most_likely_token) {
  EXPECT_EQ(drawn(some_logits, {.temperature = 0}, 0), 1);
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

// Many tokens, most of them equals of others, against a sorted list of them.
TEST(Sample, top_k_and_top_p_leave_as_often_what_sorting_leaves) {
  std::vector<float> logits;
  for (uint64_t i = 0; i < 1000; ++i)
    logits.push_back(std::round(8 * random_normal(Key(3), i)) / 8);
  for (const Sampling& sampling : {Sampling{.top_p = 0.5f}, Sampling{.top_k = 20},
                                   Sampling{.temperature = 0.7f, .top_k = 300, .top_p = 0.8f}}) {
    auto sorted = likeliest(logits, sampling.top_k > 0 ? sampling.top_k : 1000);
    double total = 0, kept = 0;
    const auto weight = [&](float log_p) { return std::exp(log_p / sampling.temperature); };
    for (const auto& [id, log_p] : sorted) total += weight(log_p);
    size_t count = 0;
    while (count < sorted.size() && kept < sampling.top_p * total)
      kept += weight(sorted[count++].second);
    std::map<int32_t, int> times;
    constexpr int draws = 10000;
    for (uint64_t i = 0; i < draws; ++i) ++times[drawn(logits, sampling, i)];
    int seen = 0;
    for (size_t i = 0; i < count; ++i) {
      const double expected = draws * weight(sorted[i].second) / kept;
      EXPECT_NEAR(times[sorted[i].first], expected, 6 * std::sqrt(expected) + 2) << "rank " << i;
      seen += times[sorted[i].first];
    }
    EXPECT_EQ(seen, draws) << "a token beyond the first " << count << " was drawn";
  }
}

TEST(Sample, a_token_that_was_there_is_penalised_once_whatever_its_sign) {
  const Sampling greedy{.temperature = 0, .repetition_penalty = 2};
  EXPECT_EQ(drawn(some_logits, greedy, 0, {1, 1}), 3);
  EXPECT_EQ(drawn(some_logits, greedy, 0, {1, 3}), 1);  // 1, 1 and 1: the lower id
  EXPECT_EQ(drawn({-1, -1.5f}, greedy, 0, {0}), 1);
}

TEST(Sample, likeliest_tokens_come_with_their_log_probabilities) {
  const auto best = likeliest(some_logits, 2);
  ASSERT_EQ(best.size(), 2u);
  EXPECT_EQ(best[0].first, 1);
  EXPECT_EQ(best[1].first, 3);
  EXPECT_NEAR(best[0].second, 2 - log_total(some_logits), 1e-6);
}

TEST(Sample, the_same_seed_and_index_draw_the_same_token) {
  std::vector<int32_t> a, b, c;
  for (uint64_t i = 0; i < 50; ++i) {
    a.push_back(drawn(some_logits, {.seed = 1}, i));
    b.push_back(drawn(some_logits, {.seed = 1}, i));
    c.push_back(drawn(some_logits, {.seed = 2}, i));
  }
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST(Sample, impossible_settings_and_broken_logits_are_refused) {
  EXPECT_THROW(Sampling{.temperature = -1}.check(), UsageError);
  EXPECT_THROW(Sampling{.top_k = -1}.check(), UsageError);
  EXPECT_THROW(Sampling{.top_p = 0}.check(), UsageError);
  EXPECT_THROW(Sampling{.repetition_penalty = 0}.check(), UsageError);
  EXPECT_THROW(drawn({1, NAN}, {}, 0), Error);
  EXPECT_THROW(drawn({}, {}, 0), Error);
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

// A model and who reads with it.
struct Asked {
  explicit Asked(Comm& tp, const GptConfig& config = little_gpt())
      : model(config, tp), reader(config, {&model.stage}, model.context, *pp) {}
  Model model;
  std::unique_ptr<Comm> pp = alone();
  Reader reader;
};

struct Written {
  std::vector<std::vector<int32_t>> ids;  // [prompt]
  std::vector<Ending> endings;
};

Written write(Reader& reader, const std::vector<Prompt>& prompts, int32_t end, int64_t together,
              size_t patience = 1000) {
  Written written{std::vector<std::vector<int32_t>>(prompts.size()),
                  std::vector<Ending>(prompts.size())};
  generate(reader, prompts, end, together,
           {[&](size_t text, const Drawn& drawn) {
              written.ids[text].push_back(drawn.id);
              return written.ids[text].size() < patience;
            },
            [&](size_t text, Ending ending) { written.endings[text] = ending; }});
  return written;
}

void expect_cached_logits(const GptConfig& config) {
  const auto tp = alone();
  Asked asked(*tp, config);
  Reader& reader = asked.reader;
  std::vector<std::vector<int32_t>> texts = {{5, 17, 36}, {1}, {2, 3, 4, 30, 8}};
  const Memory memory = reader.make_memory(4, 8);
  const auto expect_row = [&](const Hidden& hidden, size_t text, int64_t row) {
    const auto at = static_cast<int32_t>(row);
    EXPECT_LT(distance(reader.logits(hidden, {&at, 1}), uncached(asked.model, texts[text])), 1e-5)
        << "text " << text << " of " << texts[text].size();
  };
  std::vector<Unread> prompts;
  for (const auto& text : texts) prompts.push_back({text, 0});
  const Hidden hidden = reader.read(prompts, memory, 1);
  for (size_t i = 0; i < texts.size(); ++i)
    expect_row(hidden, i, hidden.row(static_cast<int64_t>(i), std::ssize(texts[i]) - 1));
  // Reads on `counts[i]` made-up tokens of texts first, first + 1, ... in one batch.
  const auto read_on = [&](size_t first, const std::vector<int64_t>& counts) {
    std::vector<Unread> batch;
    for (size_t i = 0; i < counts.size(); ++i) {
      auto& text = texts[first + i];
      const int64_t past = std::ssize(text);
      for (int64_t k = 0; k < counts[i]; ++k) text.push_back(static_cast<int32_t>(3 * text.size()));
      batch.push_back({std::span(text).last(static_cast<size_t>(counts[i])), past});
    }
    const Hidden next = reader.read(batch, memory, 1 + static_cast<int64_t>(first));
    for (size_t i = 0; i < counts.size(); ++i)
      expect_row(next, first + i, next.row(static_cast<int64_t>(i), counts[i] - 1));
  };
  for (size_t i = 0; i < texts.size(); ++i) read_on(i, {1});
  read_on(0, {1, 1, 1});  // behind pasts of 4, 2 and 6 tokens
  read_on(0, {1, 3});
  read_on(1, {1, 1});
}

TEST(Reader, cached_logits_are_those_of_the_whole_text_whatever_its_company) {
  for (const auto& [name, config] : little_models()) {
    SCOPED_TRACE(name);
    expect_cached_logits(config);
  }
}

TEST(Reader, scores_are_the_log_probabilities_of_the_targets) {
  const GptConfig config = little_gpt();
  for (const int ranks : {1, 2}) {
    run_ranks(ranks, [&](Comm& world) {
      Asked asked(world);
      const std::vector<int32_t> text = {5, 17, 36};
      const Values logits = uncached(asked.model, text);
      const auto best = likeliest(logits, config.vocabulary);
      const Unread unread{text};
      const Hidden hidden = asked.reader.read({&unread, 1});
      for (const auto& [id, log_probability] : {best[0], best[1], best[20]}) {
        const int32_t row = 2, target = id;
        const auto score = asked.reader.scores(hidden, {&row, 1}, {&target, 1})[0];
        EXPECT_NEAR(score.log_probability, log_probability, 1e-5);
        EXPECT_EQ(score.margin >= 0, id == best[0].first);
      }
    });
  }
}

TEST(Reader, a_copied_prefix_goes_on_like_its_original) {
  const auto tp = alone();
  Asked asked(*tp);
  Reader& reader = asked.reader;
  const std::vector<int32_t> prefix = {5, 17, 36}, next = {9};
  const Memory one = reader.make_memory(1, 3), two = reader.make_memory(2, 6);
  const Unread first{prefix};
  reader.read({&first, 1}, one);
  reader.copy(one, 0, two, 1, 3);
  const Unread second{next, 3};
  const Hidden hidden = reader.read({&second, 1}, two, 1);
  const int32_t row = 0;
  EXPECT_LT(distance(reader.logits(hidden, {&row, 1}), uncached(asked.model, {5, 17, 36, 9})),
            1e-5);
}

TEST(Reader, what_does_not_fit_is_refused) {
  const auto tp = alone();
  Asked asked(*tp);
  const std::vector<int32_t> long_text(9, 1), unknown = {999};
  const Unread too_long{long_text}, strange{unknown};
  EXPECT_THROW(asked.reader.read({&too_long, 1}), Error);
  const Unread behind[] = {{std::span(long_text).first(1), 0}, {std::span(long_text).first(1), 8}};
  EXPECT_THROW(asked.reader.read(behind, asked.reader.make_memory(2, 8)), Error);
  EXPECT_THROW(asked.reader.read({&strange, 1}), UsageError);
}

TEST(Generate, prompts_together_become_what_each_becomes_alone) {
  const auto tp = alone();
  Asked asked(*tp);
  const std::vector<Prompt> prompts = {{.ids = {5}, .sampling = {.seed = 1}, .most = 6},
                                       {.ids = {1, 2, 3, 4}, .sampling = {.seed = 2}, .most = 20},
                                       {.ids = {7, 8}, .sampling = {.temperature = 0}, .most = 3},
                                       {.ids = {9, 9, 9}, .sampling = {.top_k = 3, .seed = 4}}};
  const Written apart = write(asked.reader, prompts, 11, 1);
  for (const int64_t together : {2, 3, 8}) {
    const Written some = write(asked.reader, prompts, 11, together);
    EXPECT_EQ(some.ids, apart.ids) << together;
    EXPECT_EQ(some.endings, apart.endings) << together;
  }
}

TEST(Generate, a_text_longer_than_the_positions_goes_on_from_its_second_half) {
  const auto tp = alone();
  Asked asked(*tp);  // 8 positions
  const Prompt prompt{.ids = {1, 2, 3, 4, 5, 6, 7, 8}, .sampling = {.temperature = 0}, .most = 3};
  std::vector<int32_t> text = prompt.ids;
  std::vector<int32_t> seen = prompt.ids;  // what the model still has before it
  for (int i = 0; i < 3; ++i) {
    const int32_t id = likeliest(uncached(asked.model, seen), 1)[0].first;
    text.push_back(id);
    if (seen.size() == 8)
      seen.assign(text.end() - 4, text.end());
    else
      seen.push_back(id);
  }
  EXPECT_EQ(write(asked.reader, {prompt}, -1, 1).ids[0],
            std::vector<int32_t>(text.begin() + 8, text.end()));
}

TEST(Generate, stops_at_the_end_token_at_the_limit_and_when_told) {
  const auto tp = alone();
  Asked asked(*tp);
  const auto run = [&](int64_t most, int32_t end, size_t patience) {
    return write(asked.reader, {{.ids = {5}, .sampling = {.seed = 3}, .most = most}}, end, 1,
                 patience);
  };
  const Written whole = run(20, -1, 100);
  const std::vector<int32_t>& all = whole.ids[0];
  ASSERT_EQ(all.size(), 20u);
  EXPECT_EQ(whole.endings[0], Ending::length);
  const Written told = run(20, -1, 7);
  EXPECT_EQ(told.ids[0], std::vector<int32_t>(all.begin(), all.begin() + 7));
  EXPECT_EQ(told.endings[0], Ending::stopped);
  const auto first = std::ranges::find(all, all[4]);
  const Written ended = run(20, all[4], 100);
  EXPECT_EQ(ended.ids[0], std::vector<int32_t>(all.begin(), first));
  EXPECT_EQ(ended.endings[0], Ending::end);
}

// One rank of a model whose layers lie on the ranks of `pp`.
Written write_on(Comm& world, int tp_ranks, const std::vector<Prompt>& prompts) {
  const auto tp = world.split(world.rank() / tp_ranks, 0, "tp");
  const auto pp = world.split(world.rank() % tp_ranks, 0, "pp");
  const GptConfig config = little_gpt();
  ModelOptions options;
  options.range = split_layers(config, pp->size())[static_cast<size_t>(pp->rank())];
  Model model(config, *tp, options);
  Reader reader(config, {&model.stage}, model.context, *pp);
  return write(reader, prompts, 11, 3);
}

TEST(Generate, every_layout_writes_the_same_texts) {
  const std::vector<Prompt> prompts = {{.ids = {1, 2, 3}, .sampling = {.seed = 5}, .most = 12},
                                       {.ids = {4}, .sampling = {.seed = 6}, .most = 5}};
  std::set<std::vector<std::vector<int32_t>>> texts;
  std::mutex mutex;
  for (const auto& [tp, pp] : {std::pair(1, 1), {2, 1}, {4, 1}, {1, 2}, {2, 2}}) {
    run_ranks(tp * pp, [&, tp = tp](Comm& world) {
      const Written written = write_on(world, tp, prompts);
      const std::lock_guard lock(mutex);
      texts.insert(written.ids);
    });
  }
  EXPECT_EQ(texts.size(), 1u);
}

}  // namespace
}  // namespace katman::testing
