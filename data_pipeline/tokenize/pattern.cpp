#include "data_pipeline/tokenize/pattern.h"

#include <vector>

#include "core/error.h"

namespace katman {
namespace {

struct Spelling {
  Pattern pattern;
  std::string_view regex;
};

// Several spellings of one rule give the same pieces. The first of each pattern is the one written.
// The possessive quantifiers of the newer ones only forbid backtracking that could not succeed.
// `\s++$` before `\s*[\r\n]` joins the spaces after a final newline to it; with a vocabulary that
// was trained by the rule, no merge crosses that boundary, so the ids are the same.
const std::vector<Spelling>& spellings() {
  static const std::vector<Spelling> known = {
      {Pattern::gpt2,
       R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
      {Pattern::gpt2, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
      {Pattern::gpt2,
       R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)"},
      {Pattern::llama3, R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
                        R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
      {Pattern::llama3, R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3})"
                        R"(| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"},
      {Pattern::llama3, R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+)"
                        R"(| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)"},
      {Pattern::o200k,
       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
       R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
       R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
  };
  return known;
}

}  // namespace

Pattern pattern_named(std::string_view name) {
  if (name == "cl100k") return Pattern::llama3;
  for (Pattern pattern : all_patterns)
    if (name_of(pattern) == name) return pattern;
  throw UsageError(fmt::format(
      "there is no pre-tokenisation pattern called \"{}\"; choose gpt2, llama3 (cl100k) or o200k",
      name));
}

std::string_view name_of(Pattern pattern) {
  switch (pattern) {
    case Pattern::gpt2:
      return "gpt2";
    case Pattern::llama3:
      return "llama3";
    case Pattern::o200k:
      return "o200k";
  }
  fail("{} is not a pattern", static_cast<int>(pattern));
}

std::string_view regex_of(Pattern pattern) {
  for (const Spelling& spelling : spellings())
    if (spelling.pattern == pattern) return spelling.regex;
  fail("{} is not a pattern", static_cast<int>(pattern));
}

Pattern pattern_of_regex(std::string_view regex) {
  for (const Spelling& spelling : spellings())
    if (spelling.regex == regex) return spelling.pattern;
  fail("the pre-tokenisation pattern {} is not one of GPT-2, Llama-3 (cl100k) or o200k", regex);
}

}  // namespace katman
