// What the rules look at: counts over one text, taken once.
#pragma once

#include <cstdint>
#include <string_view>

namespace katman {

// Words here are runs of letters and digits of any script; each ideograph, kana or other character
// of a script without spaces counts as half a word, so that pages of all languages compare. Shares
// are of code points unless they say otherwise.
struct Measures {
  uint64_t bytes = 0, points = 0;
  uint64_t visible = 0;       // code points but white space
  uint64_t letters = 0;       // of any script, with marks
  uint64_t digits = 0;        // ASCII
  uint64_t replacements = 0;  // U+FFFD
  uint64_t hashes = 0;        // '#'
  uint64_t ellipses = 0;      // "..." and U+2026
  uint64_t blob = 0;          // code points in runs of more than 100 ASCII letters and digits
  double words = 0;

  uint64_t lines = 0;  // with something on them
  uint64_t bullet_lines = 0, ellipsis_lines = 0, ended_lines = 0, short_lines = 0;
  uint64_t repeated_lines = 0, repeated_line_points = 0;  // second and later occurrences
  uint64_t paragraphs = 0, repeated_paragraphs = 0, repeated_paragraph_points = 0;

  double top_ngram[3] = {};     // [n - 2]: share of the text in the most frequent 2-, 3-, 4-gram
  double repeated_10grams = 0;  // share of words in 10-grams that occurred before
  uint64_t english_stop_words = 0;  // distinct ones of {the, be, to, of, and, that, have, with}
  bool lorem_ipsum = false;
};

Measures measure(std::string_view utf8);

}  // namespace katman
