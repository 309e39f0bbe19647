// `katman generate --chat`: conversations with a model that was fine-tuned on some.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/lessons.h"

namespace katman::testing {
namespace {
using nlohmann::json;

TEST(Chat, a_conversation_is_kept_from_question_to_question) {
  const TempDir dir;
  const auto said = [](const char* role, const char* content) {
    return json{{"role", role}, {"content", content}};
  };
  const std::string file = dir.write(
      "chat.jsonl", json{{"messages",
                          {said("user", "who?"), said("assistant", "a dog"), said("user", "and?"),
                           said("assistant", "a cat")}}}
                            .dump() +
                        "\n" + json{{"prompt", "and?"}, {"completion", "what?"}}.dump() + "\n");
  const Result taught = lessons().finetune("talks", fmt::format("task: CHAT train: \"{}\"", file),
                                           {"steps=150", "finetune.batch=2"});
  ASSERT_EQ(taught.status, 0) << taught.output;
  const auto talk = [](const std::string& questions, const std::string& more) {
    return run({"/bin/sh", "-c",
                "printf '" + questions + "' | " + katman() +
                    " generate --chat --temperature 0 --tokens 8 --checkpoint " +
                    lessons().runs().path("talks") + more});
  };
  EXPECT_EQ(talk("and?\\n", "").output, "what?\n");
  EXPECT_EQ(talk("who?\\n\\nand?\\n", "").output, "a dog\na cat\n");
  EXPECT_EQ(talk("who?\\nand?\\n", " --pp 2").output, "a dog\na cat\n");
  EXPECT_EQ(talk("", " --prompt who?").output, "a dog\n");
  const std::string messages =
      json{{"messages", {said("user", "who?")}}, {"temperature", 0}, {"tokens", 8}}.dump();
  const Result answer =
      run({"/bin/sh", "-c",
           "echo '" + messages + "' | " + katman() + " generate --json-lines --checkpoint " +
               lessons().runs().path("talks") + " | tail -n 1"});
  EXPECT_NE(answer.output.find("\"text\":\"a dog\""), std::string::npos) << answer.output;
  const Result long_one = talk(std::string(200, '?') + "\\nwho?\\n", "");
  EXPECT_NE(long_one.output.find("the question has "), std::string::npos) << long_one.output;
  EXPECT_TRUE(long_one.output.ends_with("a dog\n")) << long_one.output;
  const Result only = talk("", " --prompt '" + std::string(200, '?') + "' || echo refused");
  EXPECT_TRUE(only.output.ends_with("refused\n")) << only.output;
  const Result forgets = talk("who?\\nand?\\nwho?\\nand?\\nwho?\\n", "");
  EXPECT_NE(forgets.output.find("its beginning is forgotten"), std::string::npos) << forgets.output;

  const Result never = run({katman(), "generate", "--chat", "--checkpoint", lessons().base()});
  EXPECT_EQ(never.status, 2) << never.output;
  EXPECT_NE(never.output.find("it was not fine-tuned on conversations"), std::string::npos);
}

}  // namespace
}  // namespace katman::testing
