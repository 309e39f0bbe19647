// What a model is asked: a task is a file of JSON lines, its header first, then one example a line.
//
//   {"task": "capitals", "kind": "multiple_choice", "description": "Capitals.\n\n"}
//   {"question": "France:", "choices": ["Rome", "Paris"], "answer": 1}
//   {"question": "Peru:", "choices": ["Lima", "Quito"], "answer": "Lima", "shot": true}
//
// kind              an example's fields                  what is reported
// multiple_choice   question, choices, answer            acc, acc_norm, acc_bytes (acc_mutual_info)
// last_word         text                                 acc, perplexity
// completion        question, answer (one or several)    exact_match, f1
// perplexity        text                                 word_perplexity, byte_perplexity,
// bits_per_byte
//
// The header may also say: description (put before everything), target_delimiter (between question
// and answer; " "), shot_delimiter (behind every shot; "\n\n"), sampler ("random", or "first": the
// shots are the first ones), mutual_information (true: also normalise by the unconditional answer),
// and for completions stop (strings, ["\n"]) and tokens (at most, 32).
//
// Shots are drawn from the examples that say "shot": true, which are not asked then; where there
// are none, from the others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace katman {

struct Example {
  std::string question;                   // or the text
  std::vector<std::string> choices = {};  // multiple choice
  int64_t gold = 0;                       // index of the right choice
  std::vector<std::string> answers = {};  // completion: what counts as right
};

struct Task {
  enum class Kind { multiple_choice, last_word, completion, perplexity };
  std::string name;
  Kind kind = Kind::multiple_choice;
  std::string description, target_delimiter = " ", shot_delimiter = "\n\n";
  bool first_shots = false, mutual_information = false;
  std::vector<std::string> stops = {"\n"};
  int64_t tokens = 32;
  std::vector<Example> examples;  // that are asked
  std::vector<Example> shots;     // empty: the examples themselves
};

const char* name_of(Task::Kind kind);

// Throws UsageError naming file and line.
Task read_task(const std::string& path);
// As such a file.
std::string to_text(const Task& task);

// What precedes the answer of example `index`: the description, `shots` examples with their answers
// (drawn by (seed, task, index), never itself), the question. Throws UsageError when there are not
// enough.
std::string context_of(const Task& task, size_t index, int64_t shots, uint64_t seed);

// Of a last-word example: all before the last space, and the rest with the space.
std::pair<std::string, std::string> split_last_word(const std::string& text);

}  // namespace katman
