#include "orchestrator/eval/prefixes.h"

#include <gtest/gtest.h>

#include <string>

namespace katman::testing {
namespace {

// A byte is a token; the answer's last one is only a target.
Input input(const std::string& context, const std::string& answer) {
  const std::string all = context + answer;
  return {0, {all.begin(), all.end() - 1}, {answer.begin(), answer.end()}};
}

TEST(Prefixes, choices_share_their_question_and_questions_their_shots) {
  const std::string shots(150, '.');
  std::vector<Input> inputs;
  for (const std::string question :
       {"the first question", "a second one, alike", "another, the third"})
    for (const std::string answer : {" yes", " no"})
      inputs.push_back(input(shots + question, answer));
  inputs.push_back(input(shots + "one of a single answer", " z"));
  const auto families = families_of(inputs);
  ASSERT_EQ(families.size(), 2u);
  EXPECT_TRUE(families[0].groups.empty());
  EXPECT_EQ(families[1].base, std::ssize(shots));
  ASSERT_EQ(families[1].groups.size(), 4u);
  EXPECT_EQ(families[1].groups[1].inputs.size(), 2u);
  // The row that predicts an answer's first token is the question's last.
  EXPECT_EQ(families[1].groups[1].shared, std::ssize(shots + "a second one, alike") - 1);
  EXPECT_EQ(families[1].groups[3].shared, families[1].base);
}

TEST(Prefixes, what_has_little_in_common_stays_alone) {
  const auto families = families_of({input("short a", "x"), input("short b", "y"),
                                     input("a long context of its own", "z"),
                                     input("a long context, but another one altogether", "z")});
  ASSERT_EQ(families.size(), 1u);
  EXPECT_EQ(families[0].base, 0);
  EXPECT_EQ(families[0].groups.size(), 4u);
}

}  // namespace
}  // namespace katman::testing
