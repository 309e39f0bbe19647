// Tasks put to a model while it trains: `katman train` with an evaluation.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/small_run.h"

namespace katman::testing {
namespace {
namespace fs = std::filesystem;
using nlohmann::json;

// A run, and two tasks for it: choices, and texts for a perplexity.
class Asked {
 public:
  Asked() {
    std::ofstream choices(path("choices.jsonl")), texts(path("texts.jsonl"));
    choices << json{{"task", "which word"}, {"kind", "multiple_choice"}} << "\n";
    texts << json{{"task", "texts"}, {"kind", "perplexity"}} << "\n";
    for (int i = 0; i < 9; ++i) {
      choices << json{{"question", std::string(1, static_cast<char>('a' + i))},
                      {"choices", {"the", "and so", "x"}},
                      {"answer", i % 3}}
              << "\n";
      texts << json{{"text", "some text of number " + std::to_string(i * i)}} << "\n";
    }
  }
  const SmallRun& runs() const { return run_; }
  std::string path(const std::string& name) const { return run_.path(name); }
  std::vector<std::string> sets(std::vector<std::string> more = {}) const {
    more.push_back("evaluation.tasks=" + path("choices.jsonl") + "," + path("texts.jsonl"));
    more.push_back("evaluation.shots=0,2");
    return more;
  }
  // What metrics.jsonl says of tasks. [step][name]
  std::map<int64_t, std::map<std::string, double>> figures(const std::string& directory) const {
    std::map<int64_t, std::map<std::string, double>> figures;
    std::ifstream in(path(directory) + "/metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      const json record = json::parse(line);
      for (const auto& [name, value] : record.items())
        if (name.starts_with("eval/")) figures[record["step"]][name] = value;
    }
    return figures;
  }

 private:
  SmallRun run_;
};

const Asked& asked() {
  static const Asked asked;
  return asked;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Evaluation, figures_of_tasks_are_in_the_log_and_in_every_series_of_the_run) {
  const Result result = asked().runs().train(
      "one", asked().sets({"device.precision=fp32", "evaluation.every_steps=5"}));
  ASSERT_EQ(result.status, 0) << result.output;
  const auto figures = asked().figures("one");
  ASSERT_EQ(figures.size(), 3u) << "after steps 5, 10 and the last";
  const auto& last = figures.at(11);
  for (const char* name :
       {"eval/which_word/0-shot/acc", "eval/which_word/2-shot/acc_norm",
        "eval/which_word/2-shot/acc_stderr", "eval/texts/0-shot/bits_per_byte_stderr"})
    EXPECT_TRUE(last.contains(name)) << name;
  EXPECT_FALSE(last.contains("eval/texts/2-shot/bits_per_byte")) << "it knows no shots";
  EXPECT_LT(last.at("eval/texts/0-shot/bits_per_byte"),
            figures.at(4).at("eval/texts/0-shot/bits_per_byte"))
      << "it learns";
  EXPECT_TRUE(has(result.output, "after step 12, asked about its tasks")) << result.output;
  EXPECT_TRUE(has(result.output, "which word")) << result.output;
  bool on_the_board = false;
  for (const auto& entry : fs::directory_iterator(asked().path("one")))
    if (entry.path().filename().string().starts_with("events.out"))
      on_the_board |= has(read_file(entry.path()), "eval/which_word/0-shot/acc");
  EXPECT_TRUE(on_the_board);

  // And they are what `katman eval` says of the checkpoint.
  const Result alone = run({katman(), "eval", "--json", "--checkpoint", asked().path("one"),
                            "--shots", "2", "--tasks", asked().path("choices.jsonl")});
  ASSERT_EQ(alone.status, 0) << alone.output;
  const json metrics = json::parse(alone.output)["results"][0]["metrics"];
  EXPECT_EQ(metrics["acc"]["value"], last.at("eval/which_word/2-shot/acc"));
}

TEST(Evaluation, four_ranks_find_what_one_finds) {
  const auto sets = asked().sets({"device.precision=fp32", "evaluation.every_steps=100"});
  ASSERT_EQ(asked().runs().train("alone", sets).status, 0);
  auto laid_out = sets;
  laid_out.insert(laid_out.end(), {"mesh.tp=2", "mesh.pp=2", "mesh.sequence_parallel=true"});
  const Result many = asked().runs().train("many", laid_out);
  ASSERT_EQ(many.status, 0) << many.output;
  const auto want = asked().figures("alone").at(11), got = asked().figures("many").at(11);
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, value] : want) EXPECT_NEAR(got.at(name), value, 1e-3 * value) << name;
}

TEST(Evaluation, a_run_that_is_asked_killed_and_resumed_learns_the_same_bit_for_bit) {
  std::vector<std::string> unasked = {SmallRun::any_length, "model.dropout=0.1", "mesh.dp=2"};
  auto sets = asked().sets(unasked);
  sets.emplace_back("evaluation.every_steps=7");
  const Interrupted killed =
      asked().runs().interrupt("asked", asked().runs().command("asked", sets), 20, SIGKILL);
  const std::string steps = "steps=" + std::to_string(killed.steps + 20);
  sets.push_back(steps);
  unasked.push_back(steps);
  const Result resumed = asked().runs().train("asked", sets);
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_TRUE(has(resumed.output, "going on after step")) << resumed.output;
  ASSERT_EQ(asked().runs().train("never-asked", unasked).status, 0);
  EXPECT_EQ(asked().runs().newest_checkpoint("asked"),
            asked().runs().newest_checkpoint("never-asked"));
  EXPECT_EQ(asked().runs().losses("asked"), asked().runs().losses("never-asked"));
}

TEST(Evaluation, what_cannot_be_asked_is_refused_in_one_sentence_before_training) {
  std::ofstream(asked().path("bad.jsonl")) << R"({"task": "t", "kind": "riddle"})"
                                              "\n";
  std::ofstream(asked().path("long.jsonl")) << R"({"task": "t", "kind": "completion"})"
                                               "\n"
                                               R"({"question": "q", "answer": "a"})"
                                               "\n";
  const std::string choices = asked().path("choices.jsonl");
  const std::vector<std::pair<std::vector<std::string>, std::string>> refusals = {
      {{"evaluation.tasks=/nowhere.jsonl"}, "cannot open the task file /nowhere.jsonl"},
      {{"evaluation.tasks=" + asked().path("bad.jsonl")}, "bad.jsonl, line 1: kind is \"riddle\""},
      {{"evaluation.tasks=" + asked().path("long.jsonl")},
       "t writes up to 32 tokens, and the model"},
      {{"evaluation.tasks=builtin:riddles"}, "there is no builtin:riddles; there are: builtin:"},
      {{"evaluation.shots=5"}, "evaluation.tasks is missing"},
      {{"evaluation.tasks=" + choices + "," + choices}, "named eval/which_word"},
      {{"evaluation.tasks=" + choices, "evaluation.shots=9"}, "9 shots are wanted"},
      {{"evaluation.tasks=" + choices, "evaluation.shots=1,1"}, "names 1 more than once"},
      {{"evaluation.tasks=" + choices, "evaluation.shots=few"}, "'few' is not a value"},
  };
  for (const auto& [sets, sentence] : refusals) {
    const Result result = asked().runs().train("refused", sets);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_TRUE(has(result.output, sentence)) << sentence << ": " << result.output;
    EXPECT_EQ(std::ranges::count(result.output, '\n'), 1) << result.output;
  }
  EXPECT_FALSE(fs::exists(asked().path("refused")));
}

}  // namespace
}  // namespace katman::testing
