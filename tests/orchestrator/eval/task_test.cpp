#include "orchestrator/eval/task.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <set>

#include "orchestrator/eval/builtin.h"
#include "orchestrator/eval/metrics.h"
#include "orchestrator/eval/text.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

const std::string header = R"({"task": "t", "kind": "multiple_choice"})";
const std::string line = R"({"question": "q", "choices": ["a", "b"], "answer": "b"})";

Task written(const std::string& text) {
  const TempDir dir;
  return read_task(dir.write("task.jsonl", text));
}

TEST(TaskFile, what_is_wrong_is_said_with_file_and_line) {
  const std::vector<std::pair<std::string, std::string>> refusals = {
      {"", "is empty"},
      {header, "no example"},
      {"zz", "line 1: it is not a JSON object"},
      {R"({"task": "t", "kind": "riddle"})", "line 1: kind is \"riddle\"; use multiple_choice"},
      {R"({"task": "t", "kind": "completion", "tok": 3})", "\"tok\" means nothing here"},
      {R"({"task": "t", "kind": "completion", "tokens": "many"})", "\"tokens\" is \"many\""},
      {header + "\n\n" + line + "\n{\"question\": \"q\"}", "task.jsonl, line 4: \"choices\""},
      {header + "\n" + R"({"question": "q", "choices": ["a", "b"], "answer": 2})", "0 to 1"},
      {header + "\n" + R"({"question": "q", "choices": ["a"], "answer": 0})", "a choice needs two"},
      {header + "\n" + R"({"question": "q", "choices": ["a", "b"], "answer": "c"})", "none of the"},
      {R"({"task": "t", "kind": "last_word"})"
       "\n"
       R"({"text": "one"})",
       "is one word"},
      {R"({"task": "t", "kind": "completion"})"
       "\n"
       R"({"question": "q", "answer": []})",
       "list of answers is empty"},
  };
  for (const auto& [text, sentence] : refusals)
    EXPECT_TRUE(fails_with(sentence, [&] { written(text); })) << text;
  EXPECT_TRUE(fails_with("/nowhere", [] { read_task("/nowhere"); }));
}

TEST(TaskFile, what_is_written_is_read_again) {
  for (const Task& task : builtin_tasks("builtin:words", 3)) {
    const Task again = written(to_text(task));
    EXPECT_EQ(again.name, task.name);
    EXPECT_EQ(again.tokens, task.tokens);
    ASSERT_EQ(again.examples.size(), task.examples.size());
    EXPECT_EQ(again.examples[7].question, task.examples[7].question);
    EXPECT_EQ(again.shots[7].answers, task.shots[7].answers);
  }
}

Task numbered(size_t count) {
  Task task;
  task.name = "numbers";
  task.kind = Task::Kind::completion;
  for (size_t i = 0; i < count; ++i)
    task.examples.push_back({.question = "q" + std::to_string(i), .answers = {"a"}});
  return task;
}

TEST(Shots, are_a_function_of_seed_task_and_index_and_never_the_question_itself) {
  const Task task = numbered(10);
  std::set<std::string> contexts;
  for (size_t i = 0; i < 10; ++i) {
    const std::string context = context_of(task, i, 9, 1);
    EXPECT_EQ(context, context_of(task, i, 9, 1));
    const std::string own = "q" + std::to_string(i);
    EXPECT_EQ(context.find(own), context.size() - own.size());
    for (size_t other = 0; other < 10; ++other)
      EXPECT_NE(context.find("q" + std::to_string(other)), std::string::npos);
    contexts.insert(context_of(task, 0, 3, i));
  }
  EXPECT_GT(contexts.size(), 5u) << "another seed, other shots";
  EXPECT_TRUE(fails_with("10 shots are wanted, and numbers has only 9",
                         [&] { context_of(task, 0, 10, 1); }));
}

TEST(Shots, come_from_the_examples_that_are_only_shown) {
  Task task = numbered(3);
  task.description = "Do it. ";
  task.shots = {{.question = "s", .answers = {"t"}}};
  EXPECT_EQ(context_of(task, 1, 1, 0), "Do it. s t\n\nq1");
  EXPECT_EQ(context_of(task, 1, 0, 0), "Do it. q1");
}

TEST(Builtin, arithmetic_is_right_and_the_seed_changes_it) {
  const Task task = builtin_tasks("builtin:add2", 1).at(0);
  for (const Example& example : task.examples) {
    int a = 0, b = 0;
    ASSERT_EQ(sscanf(example.question.c_str(), "Q: What is %d plus %d?\nA:", &a, &b), 2);
    EXPECT_EQ(example.answers, std::vector<std::string>{std::to_string(a + b)});
  }
  EXPECT_EQ(builtin_tasks("builtin:add2", 1)[0].examples[3].question, task.examples[3].question);
  EXPECT_NE(builtin_tasks("builtin:add2", 2)[0].examples[3].question, task.examples[3].question);
  EXPECT_EQ(builtin_tasks("builtin:arithmetic", 1).size(), 10u);
  EXPECT_TRUE(builtin_tasks("some/file.jsonl", 1).empty());
  EXPECT_TRUE(fails_with("there is no builtin:x", [] { builtin_tasks("builtin:x", 1); }));
}

TEST(Text, is_compared_as_squad_does) {
  EXPECT_EQ(normalise_answer(" The  Cat, a dog!\n"), "cat dog");
  EXPECT_EQ(exact_match("the answer.", "Answer"), 1);
  EXPECT_DOUBLE_EQ(f1("big red cat", "the red cat sat"), 2 * (2.0 / 3) * (2.0 / 3) / (4.0 / 3));
  EXPECT_EQ(f1("", "the"), 1);
  EXPECT_EQ(f1("x", "y"), 0);
}

TEST(Text, is_measured_in_words_and_characters_of_unicode) {
  EXPECT_EQ(count_words("one two"), 2);
  EXPECT_EQ(count_words(" one\u00a0two\n"), 4);
  EXPECT_EQ(count_words(""), 1);
  EXPECT_EQ(count_characters("çok 中文"), 6);
  EXPECT_EQ(trailing_space_bytes("a \u3000\n"), 5u);
  EXPECT_EQ(trailing_space_bytes("a b"), 0u);
}

TEST(Metrics, have_the_standard_errors_of_their_means) {
  const Metric mean = mean_metric("acc", {1, 0, 0, 1});
  EXPECT_DOUBLE_EQ(mean.value, 0.5);
  EXPECT_DOUBLE_EQ(*mean.standard_error, std::sqrt(1.0 / 3 / 4));
  EXPECT_FALSE(mean_metric("acc", {1}).standard_error);
  EXPECT_DOUBLE_EQ(perplexity_metric("p", {-1, -3}).value, std::exp(2));
  const Metric bits = weighted_perplexity_metric("b", {-2, -4}, {1, 2}, true);
  EXPECT_DOUBLE_EQ(bits.value, 2 / std::log(2.0));
  EXPECT_NEAR(*bits.standard_error, 0, 1e-12);  // both texts are as hard for their length
}

}  // namespace
}  // namespace katman::testing
