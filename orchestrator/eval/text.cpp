#include "orchestrator/eval/text.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>

namespace katman {
namespace {

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// The code point whose bytes are [begin, end): well formed or not, spaces are recognised.
char32_t point_of(std::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes.front());
  if (bytes.size() == 1) return first < 0x80 ? first : 0xfffd;
  char32_t point = first & (0x7f >> bytes.size());
  for (const char c : bytes.substr(1)) point = point << 6 | (static_cast<unsigned char>(c) & 0x3f);
  return point;
}

// Calls f(code point, its bytes) for each.
template <class F>
void for_each_character(std::string_view text, F f) {
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin + 1;
    while (end < text.size() && end < begin + 4 && is_continuation(text[end])) ++end;
    f(point_of(text.substr(begin, end - begin)), text.substr(begin, end - begin));
    begin = end;
  }
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

}  // namespace

size_t trailing_space_bytes(std::string_view text) {
  size_t bytes = 0;
  for_each_character(text, [&](char32_t c, std::string_view its) {
    bytes = is_space(c) ? bytes + its.size() : 0;
  });
  return bytes;
}

int64_t count_words(std::string_view text) {
  int64_t runs = 0;
  bool inside = false;
  for_each_character(text, [&](char32_t c, std::string_view) {
    const bool space = is_space(c);
    runs += space && !inside;
    inside = space;
  });
  return runs + 1;
}

int64_t count_characters(std::string_view text) {
  int64_t count = 0;
  for_each_character(text, [&](char32_t, std::string_view) { ++count; });
  return count;
}

std::string normalise_answer(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && std::ispunct(byte)) continue;
    plain += byte < 0x80 ? static_cast<char>(std::tolower(byte)) : c;
  }
  std::string joined;
  for (const std::string& word : words_of(plain)) {
    if (word == "a" || word == "an" || word == "the") continue;
    joined += (joined.empty() ? "" : " ") + word;
  }
  return joined;
}

double exact_match(std::string_view answer, std::string_view truth) {
  return normalise_answer(answer) == normalise_answer(truth);
}

double f1(std::string_view answer, std::string_view truth) {
  const auto given = words_of(normalise_answer(answer)), wanted = words_of(normalise_answer(truth));
  if (given.empty() || wanted.empty()) return given.empty() && wanted.empty();
  std::map<std::string, int64_t> left;
  for (const std::string& word : wanted) ++left[word];
  int64_t shared = 0;
  for (const std::string& word : given) shared += left[word]-- > 0;
  if (shared == 0) return 0;
  const double precision = static_cast<double>(shared) / static_cast<double>(given.size());
  const double recall = static_cast<double>(shared) / static_cast<double>(wanted.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace katman
