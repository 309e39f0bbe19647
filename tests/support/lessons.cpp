#include "tests/support/lessons.h"

#include <fmt/format.h>

#include <fstream>

#include "core/error.h"
#include "core/random.h"
#include "tests/support/process.h"

namespace katman::testing {
using nlohmann::json;

Lessons::Lessons() {
  const Result result = run_.train("base", {"steps=30", "device.precision=fp32"});
  require(result.status == 0, "no base model: {}", result.output);
  write("train.jsonl", 240, 0);
  write("held-out.jsonl", 60, 1000);
  std::string completions;
  for (const auto& [prompt, completion] : pairs())
    completions += json{{"prompt", prompt}, {"completion", completion}}.dump() + "\n";
  dir_.write("completions.jsonl", completions);
}

std::vector<std::pair<std::string, std::string>> Lessons::pairs() {
  return {{"one", " two"}, {"three", " four"}, {"red", " green"}, {"day", " night"}};
}

std::string Lessons::run_file(const std::string& name, const std::string& section) const {
  const std::string text = fmt::format(
      "steps: 60 seed: 5 finetune {{ from: \"{}\" batch: 8 {} }} learning_rate {{ peak: 5e-3 "
      "kind: LINEAR }} validation {{ every_steps: 30 }} checkpoint {{ every_steps: "
      "20 }} device "
      "{{ precision: \"fp32\" }}",
      base(), section);
  return dir_.write(name + ".textproto", text);
}

std::vector<std::string> Lessons::command(const std::string& name, const std::string& section,
                                          const std::vector<std::string>& sets) const {
  std::vector<std::string> words = {katman(), "finetune", run_file(name, section), "--set",
                                    "directory=" + run_.path(name)};
  for (const std::string& set : sets) words.insert(words.end(), {"--set", set});
  return words;
}

Result Lessons::finetune(const std::string& name, const std::string& section,
                         const std::vector<std::string>& sets) const {
  return run(command(name, section, sets));
}

std::string Lessons::classification() const {
  return fmt::format("task: CLASSIFICATION train: \"{}\" held_out: \"{}\"", file("train.jsonl"),
                     file("held-out.jsonl"));
}

std::string Lessons::completion() const {
  return fmt::format("train: \"{}\"", file("completions.jsonl"));
}

void Lessons::write(const std::string& name, uint64_t examples, uint64_t first) {
  const std::string neutral = "abcdefg", sad = "hij", happy = "klm";
  std::string lines;
  for (uint64_t i = first; i < first + examples; ++i) {
    const Key key = Key(4).at(i);
    const bool is_happy = random_bits(key, 0) % 3 == 0;  // the majority is sad
    const auto letter = [&](const std::string& of, uint64_t place) {
      return of[random_bits(key, place) % of.size()];
    };
    const std::string text = {letter(neutral, 1), ' ', letter(is_happy ? happy : sad, 2), ' ',
                              letter(neutral, 3)};
    lines += json{{"text", text}, {"label", is_happy ? "happy" : "sad"}}.dump() + "\n";
  }
  dir_.write(name, lines);
}

const Lessons& lessons() {
  static const Lessons lessons;
  return lessons;
}

std::vector<json> read_lines(const std::string& path) {
  std::vector<json> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

}  // namespace katman::testing
