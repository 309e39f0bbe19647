// Schedules as text, both ways.
#include <array>
#include <charconv>
#include <sstream>
#include <string>

#include "core/error.h"
#include "parallel/pipeline/schedule.h"

namespace katman {
namespace {

constexpr std::array<const char*, 9> letters = {"F", "B", "I", "W", "SF", "RF", "SB", "RB", "R"};

// Reads a number at the front of `text` and drops it.
bool take_number(std::string_view& text, int16_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

Action parse_action(const std::string& word, size_t rank) {
  Action action;
  std::string_view rest = word;
  bool good = take_number(rest, action.stage);
  const auto digits = std::min(rest.size(), rest.find_first_of("0123456789"));
  const auto letter = rest.substr(0, digits);
  rest.remove_prefix(digits);
  size_t kind = 0;
  while (kind < letters.size() && letter != letters[kind]) ++kind;
  action.what = static_cast<Do>(kind);
  if (action.what != Do::reduce) good = good && take_number(rest, action.micro);
  require_usage(good && kind < letters.size() && rest.empty(),
                "'{}' of rank {} is not an action; write stage, one of F B I W SF RF SB RB, and "
                "micro-batch, as in 0F3, or 0R",
                word, rank);
  return action;
}

}  // namespace

std::string to_string(const Action& a) {
  const char* letter = letters[static_cast<size_t>(a.what)];
  if (a.what == Do::reduce) return fmt::format("{}{}", a.stage, letter);
  return fmt::format("{}{}{}", a.stage, letter, a.micro);
}

std::string to_string(const Schedule& schedule) {
  std::string text;
  for (const Program& program : schedule) {
    for (size_t i = 0; i < program.size(); ++i) {
      if (i) text += ' ';
      text += to_string(program[i]);
    }
    text += '\n';
  }
  return text;
}

Schedule parse_schedule(std::string_view text) {
  Schedule schedule;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream programs(line);
    for (std::string program; std::getline(programs, program, '|');) {
      auto& actions = schedule.emplace_back();
      std::istringstream words(program);
      for (std::string word; words >> word;)
        actions.push_back(parse_action(word, schedule.size() - 1));
    }
  }
  return schedule;
}

}  // namespace katman
