// Pre-tokenisation: the fixed rule that cuts a text into pieces before any merge. Merges never
// cross a piece.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace katman {

// The published rules. Files name them by their regular expression; here each one is a hand-written
// scanner that accepts the same pieces. `llama3` is also the rule of cl100k_base.
enum class Pattern { gpt2, llama3, o200k };

constexpr std::array<Pattern, 3> all_patterns = {Pattern::gpt2, Pattern::llama3, Pattern::o200k};

// "gpt2", "llama3" (or "cl100k"), "o200k". Throws UsageError for any other name.
Pattern pattern_named(std::string_view name);
std::string_view name_of(Pattern pattern);

// The regular expression as tokenizer.json files spell it.
std::string_view regex_of(Pattern pattern);
// The inverse, over every published spelling; throws Error for an expression nobody here knows,
// because an approximation would give other ids without saying so.
Pattern pattern_of_regex(std::string_view regex);

// Cuts one text into pieces, many at a time. The pieces follow each other without gaps, each has at
// least one byte, and the last ends where the text ends. Any bytes are allowed (see
// read_wide_char). Linear time: nothing is looked at more often than a constant number of times.
class PieceScanner {
 public:
  // The text must outlive the scanner.
  PieceScanner(Pattern pattern, std::string_view text)
      : pattern_(pattern), next_(text.data()), end_(text.data() + text.size()) {}

  // Where the next pieces end, in order: fills `ends` as far as the text goes and returns how many
  // it wrote; 0 means that the text is exhausted.
  size_t next(std::span<const char*> ends);

 private:
  Pattern pattern_;
  const char* next_;  // where the next piece begins
  const char* end_;
};

}  // namespace katman
