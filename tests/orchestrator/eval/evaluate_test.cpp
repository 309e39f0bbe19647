// Scores of a real small model: against the model itself, in any company, on any number of ranks;
// and whether a model that has learnt to look at examples does.
#include "orchestrator/eval/evaluate.h"

#include <gtest/gtest.h>

#include <mutex>

#include "orchestrator/eval/scorer.h"
#include "parallel/trainer.h"
#include "tests/support/model.h"
#include "tests/support/ranks.h"

namespace katman::testing {
namespace {

// Every byte is a token, and one ends documents.
Tokenizer byte_tokenizer() {
  TokenizerParts parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  parts.specials = {{"<|endoftext|>", 256}};
  return Tokenizer(parts);
}

GptConfig byte_gpt(int64_t sequence) {
  GptConfig config = gpt_preset("tiny");
  config.layers = 2;
  config.hidden = 64;
  config.heads = 4;
  config.sequence = sequence;
  config.vocabulary = 257;
  return config;
}

struct Asking {
  Asking(const GptConfig& config, Comm& tp)
      : model(config, tp, {.backend = "cpu"}), reader(config, {&model.stage}, model.context, *pp) {}
  Model model;
  std::unique_ptr<Comm> pp = alone();
  Reader reader;
};

double alone_score(Reader& reader, const katman::Pair& pair) {
  return Scorer(reader).likelihoods({&pair, 1}, [](int64_t) {})[0].sum;
}

TEST(Scorer, pairs_that_share_their_beginning_score_as_each_alone) {
  const auto tp = alone();
  Asking reading(byte_gpt(48), *tp);
  const Tokenizer tokenizer = byte_tokenizer();
  Encoding encoding(tokenizer);
  std::vector<katman::Pair> pairs;
  for (const std::string context : {"what is the colour of snow? ", "which animal says moo:", "x"})
    for (const std::string choice : {" white", " a cow", " something much longer than that", " y"})
      pairs.push_back(encoding.pair(context, choice));
  pairs.push_back(encoding.pair(std::string(100, 'z'), " beyond the positions"));
  Scorer scorer(reading.reader);
  int64_t done = 0;
  const auto together = scorer.likelihoods(pairs, [&](int64_t count) { done = count; });
  EXPECT_EQ(done, std::ssize(pairs));
  EXPECT_EQ(scorer.truncated(), 3);
  for (size_t i = 0; i < pairs.size(); ++i)
    EXPECT_NEAR(together[i].sum, alone_score(reading.reader, pairs[i]), 1e-3) << i;
}

TEST(Scorer, questions_behind_the_same_shots_score_as_each_alone) {
  const auto tp = alone();
  Asking reading(byte_gpt(112), *tp);
  const Tokenizer tokenizer = byte_tokenizer();
  Encoding encoding(tokenizer);
  const std::string shots =
      "snow: white; grass: green; coal: black; a clear sky: blue; a ripe banana: yellow; ";
  std::vector<katman::Pair> pairs;
  for (const std::string question : {"sea:", "blood:", "a lemon:", ""})
    for (const std::string choice : {" red", " blue", " yellowish"})
      pairs.push_back(encoding.pair(shots + question, choice));
  pairs.push_back(encoding.pair(shots + "a cherry:", " yes"));
  pairs.push_back(encoding.pair("", " yes"));
  const auto together = Scorer(reading.reader).likelihoods(pairs, [](int64_t) {});
  for (size_t i = 0; i < pairs.size(); ++i)
    EXPECT_NEAR(together[i].sum, alone_score(reading.reader, pairs[i]), 1e-3) << i;
}

TEST(Encoding, spaces_at_the_end_of_the_context_belong_to_what_follows) {
  const Tokenizer tokenizer = byte_tokenizer();
  Encoding encoding(tokenizer);
  const katman::Pair pair = encoding.pair("ab \n", "c");
  EXPECT_EQ(pair.context, (std::vector<int32_t>{'a', 'b'}));
  EXPECT_EQ(pair.continuation, (std::vector<int32_t>{' ', '\n', 'c'}));
  EXPECT_EQ(encoding.pair("", "c").context, std::vector<int32_t>{256});
}

TEST(Encoding, windows_predict_every_token_once_and_the_last_looks_back) {
  const Tokenizer tokenizer = byte_tokenizer();
  const auto windows = Encoding(tokenizer).windows("abcdefghij", 4);
  ASSERT_EQ(windows.size(), 3u);
  EXPECT_EQ(windows[0].context, std::vector<int32_t>{256});
  EXPECT_EQ(windows[0].continuation, (std::vector<int32_t>{'a', 'b', 'c', 'd'}));
  EXPECT_EQ(windows[1].context, std::vector<int32_t>{'d'});
  EXPECT_EQ(windows[2].context, (std::vector<int32_t>{'f', 'g', 'h'}));
  EXPECT_EQ(windows[2].continuation, (std::vector<int32_t>{'i', 'j'}));
}

Task letters(size_t first, size_t count) {
  Task task;
  task.name = "letters";
  task.target_delimiter = "";
  task.shot_delimiter = ";";
  for (size_t i = first; i < first + count; ++i) {
    Example example{.question = std::string(1, static_cast<char>('a' + i % 26)) + ":"};
    for (char c = 'A'; c < 'E'; ++c) example.choices.emplace_back(1, c);
    example.gold = static_cast<int64_t>(i % 4);
    task.examples.push_back(example);
  }
  return task;
}

std::vector<Metric> metrics_on(int tp, int replicas, const Task& task) {
  std::vector<Metric> metrics;
  std::mutex mutex;
  run_ranks(tp * replicas, [&](Comm& world) {
    const auto group = world.split(world.rank() / tp, 0, "tp");
    const auto copies = world.split(world.rank() % tp, 0, "dp");
    Asking reading(byte_gpt(64), *group);
    const Tokenizer tokenizer = byte_tokenizer();
    const TaskResult result =
        evaluate(task, {.shots = 3}, {reading.reader, tokenizer, *reading.model.backend, *copies},
                 [](int64_t, int64_t) {});
    EXPECT_EQ(result.examples, 13);
    const std::lock_guard lock(mutex);
    metrics = result.metrics;
  });
  return metrics;
}

TEST(Evaluate, any_layout_gives_the_same_figures) {
  Task task = letters(0, 13);
  task.mutual_information = true;
  const auto expected = metrics_on(1, 1, task);
  ASSERT_EQ(expected.size(), 4u);
  for (const auto& [tp, replicas] : {std::pair(2, 1), {1, 3}, {2, 2}}) {
    const auto metrics = metrics_on(tp, replicas, task);
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_DOUBLE_EQ(metrics[i].value, expected[i].value) << metrics[i].name;
  }
}

TEST(Evaluate, a_perplexity_takes_no_shots) {
  const auto tp = alone();
  Asking reading(byte_gpt(16), *tp);
  Task task;
  task.kind = Task::Kind::perplexity;
  task.examples = {{.question = "some text"}};
  const Tokenizer tokenizer = byte_tokenizer();
  EXPECT_THROW(
      evaluate(task, {.shots = 1}, {reading.reader, tokenizer, *reading.model.backend, *tp},
               [](int64_t, int64_t) {}),
      UsageError);
}

// In-context learning (Brown et al., 2020), as small as it gets: every sequence of the training
// data draws one of four answers and gives it to six letters. Only the examples before a question
// say which; the letters that are asked about never occurred in training.
constexpr int64_t icl_sequence = 24;

void icl_sample(uint64_t index, std::span<int32_t> tokens) {
  const Key key = Key(17).at(index);
  const auto answer = static_cast<int32_t>('A' + random_bits(key, 0) % 4);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto letter = static_cast<int32_t>('a' + random_bits(key, 1 + i / 4) % 20);
    const int32_t piece[] = {letter, ':', answer, ';'};
    tokens[i] = piece[i % 4];
  }
}

// The letters u to z, one answer for all of them in each task.
Task held_out(int64_t answer) {
  Task task = letters(20, 6);
  for (Example& example : task.examples) example.gold = answer;
  return task;
}

double accuracy(Reader& reader, const Tokenizer& tokenizer, Backend& backend, int64_t shots) {
  const auto one = alone();
  double sum = 0;
  for (int64_t answer = 0; answer < 4; ++answer)
    sum += evaluate(held_out(answer), {.shots = shots}, {reader, tokenizer, backend, *one},
                    [](int64_t, int64_t) {})
               .metrics[0]
               .value;
  return sum / 4;
}

TEST(Evaluate, a_trainer_on_any_layout_is_asked_between_its_steps) {
  const auto asked_of = [](const Mesh& mesh, int chunks, bool split) {
    TrainConfig config;
    config.model = byte_gpt(icl_sequence);
    config.model.layers = 4;
    config.mesh = mesh;
    config.chunks = chunks;
    config.schedule = chunks > 1 ? "interleaved" : "1f1b";
    config.sequence_parallel = split;
    config.batch_sequences = 4;
    config.rate = {.kind = LearningRate::Kind::constant, .peak = 1e-3f};
    std::vector<double> values;
    std::mutex mutex;
    run_ranks_on([] { return make_backend("reference"); }, mesh.size(),
                 [&](Comm& world, Backend& backend) {
                   Trainer trainer(config, backend, world, windows(icl_sample));
                   trainer.step({});
                   const Tokenizer tokenizer = byte_tokenizer();
                   Task task;
                   task.kind = Task::Kind::perplexity;
                   task.examples = {{.question = "a:A;b:A;"}, {.question = "some other text"}};
                   TaskResult result;
                   trainer.ask([&](Reader& reader) {
                     result = evaluate(task, {}, {reader, tokenizer, backend, *trainer.groups().dp},
                                       [](int64_t, int64_t) {});
                   });
                   trainer.step({});
                   const std::lock_guard lock(mutex);
                   for (const Metric& metric : result.metrics) values.push_back(metric.value);
                 });
    return values;
  };
  const auto one = asked_of({1, 1, 1}, 1, false);
  ASSERT_EQ(one.size(), 3u);
  for (const auto& many : {asked_of({2, 1, 2}, 1, true), asked_of({1, 2, 2}, 2, false)}) {
    ASSERT_EQ(many.size(), 12u);
    for (size_t i = 0; i < many.size(); ++i) EXPECT_NEAR(many[i], one[i % 3], 1e-4 * one[i % 3]);
  }
}

TEST(InContextLearning, five_shots_beat_none_on_held_out_pairs) {
  TrainConfig config;
  config.model = byte_gpt(icl_sequence);
  config.batch_sequences = config.micro_batch = 32;
  config.rate = {.kind = LearningRate::Kind::constant, .peak = 3e-3f};
  config.steps = 150;
  const auto backend = make_backend("cpu");
  const auto world = alone();
  Trainer trainer(config, *backend, *world, windows(icl_sample));
  for (int64_t step = 0; step < config.steps; ++step) trainer.step({});
  const Tokenizer tokenizer = byte_tokenizer();
  double none = 0, five = 0;
  trainer.ask([&](Reader& reader) {
    none = accuracy(reader, tokenizer, *backend, 0);
    five = accuracy(reader, tokenizer, *backend, 5);
  });
  EXPECT_NEAR(none, 0.25, 0.01) << "without examples, one answer is as good as another";
  EXPECT_GT(five, 0.9);
}

}  // namespace
}  // namespace katman::testing
