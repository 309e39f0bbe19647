#include "orchestrator/eval/builtin.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <sstream>

#include "core/error.h"
#include "core/random.h"
#include "data_pipeline/corpus/corpus.h"
#include "data_pipeline/tokenize/tokenizer.h"

namespace katman {
namespace {

constexpr size_t examples_per_task = 200;

// Common English words of six letters and more, for the puzzles about letters.
constexpr const char* common_words =
    "people through between another because country against without company problem program "
    "service question business children government system number always million history almost "
    "morning nothing perhaps science society student teacher thought together window winter "
    "summer wonder yellow public picture simple single silver second season school result reason "
    "rather record remember research market member mother minute method matter machine language "
    "letter listen little living island inside include imagine hundred husband hospital happen "
    "ground growth garden future friend forest follow finger figure father family expect example "
    "evening energy enough engine effect during doctor dinner develop describe december decide "
    "danger daughter culture course corner common college clothes circle church change century "
    "center carry captain camera butter bridge brother breakfast bottle border believe beautiful "
    "become autumn attention around animal answer amount already airport afternoon advice address "
    "account ability station strange stream street strong surface surprise travel twenty various "
    "village visitor weather welcome whether writing yesterday mountain movement musical national "
    "natural neighbor notice object ocean office operate opinion orange original paper parent";

// Uniform numbers for one task: draw after draw of its own stream.
class Dice {
 public:
  Dice(uint64_t seed, const std::string& task) : key_(Key(seed).at("task").at(task)) {}
  int64_t below(int64_t count) {
    return static_cast<int64_t>(random_bits(key_, next_++) % static_cast<uint64_t>(count));
  }
  template <class Range>
  void shuffle(Range begin, Range end) {
    for (auto i = end - begin; i > 1; --i) std::iter_swap(begin + i - 1, begin + below(i));
  }

 private:
  Key key_;
  uint64_t next_ = 0;
};

Example completion(std::string question, std::string answer) {
  return {.question = std::move(question), .answers = {std::move(answer)}};
}

Example sum(const std::string& question, int64_t value) {
  return completion(fmt::format("Q: What is {}?\nA:", question), std::to_string(value));
}

Example mixed(Dice& dice) {
  const int64_t a = dice.below(10), b = dice.below(10), c = dice.below(10);
  const auto of = [](int64_t kind, int64_t x, int64_t y) {
    return kind == 0 ? x + y : kind == 1 ? x - y : x * y;
  };
  constexpr const char* signs = "+-*";
  const int64_t first = dice.below(3), second = dice.below(3);
  return sum(fmt::format("{}{}({}{}{})", a, signs[first], b, signs[second], c),
             of(first, a, of(second, b, c)));
}

using Make = std::function<Example(Dice& dice)>;
using Change = std::function<std::string(Dice& dice, std::string word)>;

std::vector<std::string> words() {
  std::istringstream stream(common_words);
  return {std::istream_iterator<std::string>(stream), {}};
}

Example puzzle(Dice& dice, const char* ask, const Change& change) {
  static const std::vector<std::string> known = words();
  const std::string& word = known[static_cast<size_t>(dice.below(std::ssize(known)))];
  std::string changed = word;
  for (int attempt = 0; attempt < 10 && changed == word; ++attempt) changed = change(dice, word);
  return completion(fmt::format("{} {} =", ask, changed), word);
}

std::string rotate(Dice& dice, std::string word) {
  std::ranges::rotate(word, word.begin() + 1 + dice.below(std::ssize(word) - 1));
  return word;
}

// All letters but `kept` at either end change places.
Change anagram(int64_t kept) {
  return [kept](Dice& dice, std::string word) {
    dice.shuffle(word.begin() + kept, word.end() - kept);
    return word;
  };
}

std::string insert_signs(Dice& dice, std::string word) {
  constexpr std::string_view signs = ".,!? ;-/";
  std::string mixed_in;
  for (const char letter : word) {
    mixed_in += letter;
    mixed_in += signs[static_cast<size_t>(dice.below(std::ssize(signs)))];
  }
  mixed_in.pop_back();
  return mixed_in;
}

std::string reverse(Dice&, std::string word) {
  std::ranges::reverse(word);
  return word;
}

struct Builtin {
  const char *family, *name;
  Make make;
};

const std::vector<Builtin>& builtins() {
  const auto arithmetic = [](int64_t limit, const char* word, auto apply) -> Make {
    return [=](Dice& dice) {
      const int64_t a = dice.below(limit), b = dice.below(limit);
      return sum(fmt::format("{} {} {}", a, word, b), apply(a, b));
    };
  };
  const auto letters = [](const char* ask, const Change& change) -> Make {
    return [=](Dice& dice) { return puzzle(dice, ask, change); };
  };
  static const std::vector<Builtin> all = {
      {"arithmetic", "add2", arithmetic(100, "plus", std::plus<>())},
      {"arithmetic", "subtract2", arithmetic(100, "minus", std::minus<>())},
      {"arithmetic", "add3", arithmetic(1000, "plus", std::plus<>())},
      {"arithmetic", "subtract3", arithmetic(1000, "minus", std::minus<>())},
      {"arithmetic", "add4", arithmetic(10000, "plus", std::plus<>())},
      {"arithmetic", "subtract4", arithmetic(10000, "minus", std::minus<>())},
      {"arithmetic", "add5", arithmetic(100000, "plus", std::plus<>())},
      {"arithmetic", "subtract5", arithmetic(100000, "minus", std::minus<>())},
      {"arithmetic", "multiply2", arithmetic(100, "times", std::multiplies<>())},
      {"arithmetic", "mixed1", mixed},
      {"words", "cycle", letters("The letters of this word were rotated:", rotate)},
      {"words", "anagram1", letters("The inner letters of this word were mixed:", anagram(1))},
      {"words", "anagram2", letters("The inner letters of this word were mixed:", anagram(2))},
      {"words", "insertion", letters("Signs were put into this word:", insert_signs)},
      {"words", "reversal", letters("This word was written backwards:", reverse)},
  };
  return all;
}

Task task_of(const Builtin& builtin, uint64_t seed) {
  Task task;
  task.name = builtin.name;
  task.kind = Task::Kind::completion;
  task.tokens = 16;
  task.shot_delimiter = std::string(builtin.family) == "words" ? "\n" : "\n\n";
  Dice dice(seed, builtin.name);
  for (size_t i = 0; i < examples_per_task; ++i) task.examples.push_back(builtin.make(dice));
  for (size_t i = 0; i < examples_per_task; ++i) task.shots.push_back(builtin.make(dice));
  return task;
}

// Up to its 60th word, the beginning of a document, if its last word is one worth guessing.
std::string passage_of(const std::string& document) {
  std::string passage;
  int64_t count = 0;
  std::istringstream stream(document);
  for (std::string word; count < 60 && stream >> word; ++count)
    passage += (passage.empty() ? "" : " ") + word;
  while (!passage.empty() && !std::isalnum(static_cast<unsigned char>(passage.back())))
    passage.pop_back();
  const bool guessable = count >= 20 && split_last_word(passage).second.size() > 4;
  return guessable ? passage : std::string();
}

Task cloze_of(const std::string& directory) {
  const Corpus corpus = Corpus::open(directory);
  const Tokenizer tokenizer = Tokenizer::load(corpus.tokenizer_path());
  Task task;
  task.name = "cloze";
  task.kind = Task::Kind::last_word;
  for (uint64_t d = 0; d < corpus.documents(Split::validation) && task.examples.size() < 1000;
       ++d) {
    std::vector<int32_t> ids = corpus.document(Split::validation, d);
    if (!ids.empty()) ids.pop_back();  // the end of the document
    const std::string text =
        passage_of(tokenizer.decode(std::vector<uint32_t>(ids.begin(), ids.end())));
    if (!text.empty()) task.examples.push_back({.question = text});
  }
  require_usage(!task.examples.empty(),
                "no document of the validation split of {} begins with 20 words to guess from",
                directory);
  return task;
}

}  // namespace

std::vector<Task> builtin_tasks(const std::string& name, uint64_t seed) {
  constexpr std::string_view builtin = "builtin:", cloze = "cloze:";
  if (name.starts_with(cloze)) return {cloze_of(name.substr(cloze.size()))};
  if (!name.starts_with(builtin)) return {};
  const std::string wanted = name.substr(builtin.size());
  std::vector<Task> tasks;
  for (const Builtin& one : builtins())
    if (wanted == one.family || wanted == one.name) tasks.push_back(task_of(one, seed));
  require_usage(!tasks.empty(), "there is no {}; there are: {}", name, builtin_task_names());
  return tasks;
}

std::vector<Task> tasks_named(const std::vector<std::string>& names, uint64_t seed) {
  std::vector<Task> tasks;
  for (const std::string& name : names) {
    if (const auto builtin = builtin_tasks(name, seed); !builtin.empty())
      tasks.insert(tasks.end(), builtin.begin(), builtin.end());
    else
      tasks.push_back(read_task(name));
  }
  return tasks;
}

std::string builtin_task_names() {
  std::string names, family;
  for (const Builtin& one : builtins()) {
    if (family != one.family)
      names += fmt::format("{}builtin:{} (", family.empty() ? "" : "), ", one.family);
    names += (family == one.family ? ", " : "") + std::string(one.name);
    family = one.family;
  }
  return names + ")";
}

}  // namespace katman
