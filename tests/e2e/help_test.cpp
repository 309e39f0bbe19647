// Every command explains itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "tests/support/process.h"

namespace katman::testing {
namespace {

std::vector<std::string> subcommands(const std::string& help) {
  std::vector<std::string> names;
  std::istringstream lines(help);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Subcommands:")) inside = true;
    std::smatch match;
    if (inside && std::regex_search(line, match, std::regex("^  ([a-z][a-z-]*) ")))
      names.push_back(match[1]);
  }
  return names;
}

void expect_example(std::vector<std::string> command) {
  auto asking = command;
  asking.emplace_back("--help");
  const Result result = run(asking);
  std::string words;
  for (size_t i = 1; i < command.size(); ++i) words += " " + command[i];
  EXPECT_EQ(result.status, 0) << words;
  if (!words.empty()) {
    EXPECT_NE(result.output.find("Example: "), std::string::npos) << "katman" << words << " --help";
    EXPECT_NE(result.output.find(words), std::string::npos) << result.output;
  }
  for (const std::string& name : subcommands(result.output)) {
    auto deeper = command;
    deeper.push_back(name);
    expect_example(deeper);
  }
}

TEST(Help, every_command_has_an_example) {
  EXPECT_FALSE(subcommands(run({katman(), "--help"}).output).empty());
  expect_example({katman()});
}

TEST(Help, bad_usage_ends_with_2_and_one_line) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"trian"}, {"train"}, {"bench"}, {"data", "build"}}) {
    std::vector<std::string> command = {katman()};
    command.insert(command.end(), words.begin(), words.end());
    const Result result = run(command);
    EXPECT_EQ(result.status, 2) << words[0] << ": " << result.output;
    EXPECT_EQ(std::ranges::count(result.output, '\n'), 1) << result.output;
    EXPECT_NE(result.output.find("--help"), std::string::npos) << result.output;
  }
}

}  // namespace
}  // namespace katman::testing
