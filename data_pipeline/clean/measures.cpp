#include "data_pipeline/clean/measures.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <string>
#include <unordered_set>
#include <vector>

#include "data_pipeline/clean/characters.h"
#include "data_pipeline/clean/ngrams.h"
#include "data_pipeline/clean/utf8.h"

namespace katman {
namespace {

uint64_t hash(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

uint64_t count_points(std::string_view text) {
  return static_cast<uint64_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// Code points and words.
class Words {
 public:
  explicit Words(Measures& m) : m_(m) {}

  void run(std::string_view text) {
    words_.reserve(text.size() / 5);
    for (size_t at = 0; at < text.size();) {
      const size_t start = at;
      const char32_t point = next_code_point(text, at);
      ++m_.points;
      take(text, point, start);
    }
    finish_word(text, text.size());
    for (size_t n = 2; n <= 4; ++n) m_.top_ngram[n - 2] = top_ngram_share(words_, n, m_.points);
    m_.repeated_10grams = repeated_ngram_share(words_, 10, m_.points);
  }

 private:
  void take(std::string_view text, char32_t point, size_t start) {
    const Class kind = class_of(point);
    if (kind == Class::space) return finish_word(text, start);
    ++m_.visible;
    m_.letters += kind == Class::letter;
    m_.digits += kind == Class::digit;
    m_.replacements += point == replacement_character;
    m_.hashes += point == '#';
    m_.ellipses += point == 0x2026 || (point == '.' && text.substr(start, 3) == "...");
    if (kind == Class::other) return finish_word(text, start);
    if (unspaced(point)) {
      finish_word(text, start);
      m_.words += 0.5;
      words_.push_back({point * 0x9e3779b97f4a7c15, 1});
      return;
    }
    if (length_ == 0) begin_ = start;
    ++length_;
    ascii_ = ascii_ && point < 0x80;
  }
  void finish_word(std::string_view text, size_t end) {
    if (length_ == 0) return;
    const std::string_view word = text.substr(begin_, end - begin_);
    m_.words += 1;
    if (ascii_ && length_ > 100) m_.blob += length_;
    words_.push_back({hash(word), length_});
    if (ascii_ && length_ <= 4) note_stop_word(word);
    length_ = 0;
    ascii_ = true;
  }
  void note_stop_word(std::string_view word) {
    constexpr std::array<std::string_view, 8> stops = {"the", "be",   "to",   "of",
                                                       "and", "that", "have", "with"};
    const auto found = std::find(stops.begin(), stops.end(), word);
    if (found == stops.end()) return;
    const auto bit = 1u << (found - stops.begin());
    m_.english_stop_words += (seen_ & bit) == 0;
    seen_ |= bit;
  }

  Measures& m_;
  std::vector<WordSpan> words_;
  size_t begin_ = 0;
  uint32_t length_ = 0;
  bool ascii_ = true;
  unsigned seen_ = 0;
};

char32_t last_point(std::string_view line) {
  size_t at = line.size() - 1;
  while (at > 0 && (line[at] & 0xc0) == 0x80) --at;
  return next_code_point(line, at);
}

void measure_line(std::string_view line, Measures& m, std::unordered_set<uint64_t>& seen) {
  const size_t start = line.find_first_not_of(" \t");
  if (start == std::string_view::npos) return;
  line.remove_prefix(start);
  ++m.lines;
  const uint64_t points = count_points(line);
  m.short_lines += points <= 30;
  m.bullet_lines +=
      line.starts_with("\xe2\x80\xa2") || line.starts_with("- ") || line.starts_with("* ");
  m.ellipsis_lines += line.ends_with("...") || line.ends_with("\xe2\x80\xa6");
  m.ended_lines += ends_sentence(last_point(line));
  if (seen.insert(hash(line)).second) return;
  ++m.repeated_lines;
  m.repeated_line_points += points;
}

template <class Visit>
void split(std::string_view text, std::string_view separator, Visit visit) {
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(separator, start), text.size());
    if (end > start) visit(text.substr(start, end - start));
    start = end + separator.size();
  }
}

bool says_lorem_ipsum(std::string_view text) {
  for (const std::string_view form : {"lorem ipsum", "Lorem ipsum", "Lorem Ipsum", "LOREM IPSUM"})
    if (text.find(form) != std::string_view::npos) return true;
  return false;
}

}  // namespace

Measures measure(std::string_view text) {
  Measures m;
  m.bytes = text.size();
  Words(m).run(text);
  std::unordered_set<uint64_t> seen;
  split(text, "\n", [&](std::string_view line) { measure_line(line, m, seen); });
  seen.clear();
  split(text, "\n\n", [&](std::string_view paragraph) {
    ++m.paragraphs;
    if (seen.insert(hash(paragraph)).second) return;
    ++m.repeated_paragraphs;
    m.repeated_paragraph_points += count_points(paragraph);
  });
  m.lorem_ipsum = says_lorem_ipsum(text);
  return m;
}

}  // namespace katman
