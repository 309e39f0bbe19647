// A regular-expression matcher that is obviously right and hopelessly slow: the judge of the
// hand-written scanners. Backtracking, leftmost alternative first, over code points; just enough
// syntax for the published pre-tokenisation patterns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "data_pipeline/tokenize/unicode.h"

namespace katman::testing {

class RegexOracle {
 public:
  explicit RegexOracle(std::string_view pattern) : rest_(pattern) { root_ = alternatives(false); }

  // Where the match that begins at `at` ends; `at` itself if there is none.
  size_t match(const std::vector<uint32_t>& text, size_t at) const {
    size_t end = at;
    root_(text, at, [&](size_t stop) {
      end = stop;
      return true;
    });
    return end;
  }

 private:
  using Text = std::vector<uint32_t>;
  using Then = std::function<bool(size_t)>;
  using Node = std::function<bool(const Text&, size_t, const Then&)>;  // tries all ways to match
  using Set = std::function<bool(uint32_t)>;

  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  Node alternatives(bool any_case) {
    std::vector<Node> options{sequence(any_case)};
    while (take("|")) options.push_back(sequence(any_case));
    return [options](const Text& text, size_t at, const Then& then) {
      for (const Node& option : options)
        if (option(text, at, then)) return true;
      return false;
    };
  }

  Node sequence(bool any_case) {
    Node all = [](const Text&, size_t at, const Then& then) { return then(at); };
    while (!rest_.empty() && rest_[0] != '|' && rest_[0] != ')') {
      all = [first = all, second = repeated(atom(any_case))](const Text& text, size_t at,
                                                             const Then& then) {
        return first(text, at, [&](size_t middle) { return second(text, middle, then); });
      };
    }
    return all;
  }

  Node repeated(Node node) {
    size_t least = 1, most = 1;
    if (take("{1,3}")) most = 3;
    if (take("?")) least = 0;
    if (take("*")) least = 0, most = SIZE_MAX;
    if (take("+")) most = SIZE_MAX;
    return [node, least, most](const Text& text, size_t at, const Then& then) {
      return repeat(node, least, most, text, at, then);
    };
  }

  // Greedy: one more time first, unless that would match nothing again.
  static bool repeat(const Node& node, size_t least, size_t most, const Text& text, size_t at,
                     const Then& then) {
    if (most > 0 && node(text, at, [&](size_t next) {
          return (next > at || least > 0) &&
                 repeat(node, least == 0 ? 0 : least - 1, most - 1, text, next, then);
        }))
      return true;
    return least == 0 && then(at);
  }

  Node atom(bool any_case) {
    if (take("(?!")) return not_ahead();
    if (take("(?i:")) return group(true);
    if (take("(?:")) return group(any_case);
    return one_of(set(any_case));
  }

  Node group(bool any_case) {
    Node node = alternatives(any_case);
    take(")");
    return node;
  }

  Node not_ahead() {
    Node node = group(false);
    return [node](const Text& text, size_t at, const Then& then) {
      return !node(text, at, [](size_t) { return true; }) && then(at);
    };
  }

  static Node one_of(Set set) {
    return [set](const Text& text, size_t at, const Then& then) {
      return at < text.size() && set(text[at]) && then(at + 1);
    };
  }

  Set set(bool any_case) {
    if (!take("[")) return single(any_case);
    const bool negated = take("^");
    std::vector<Set> members;
    while (!take("]")) members.push_back(single(any_case));
    return [members, negated](uint32_t c) {
      for (const Set& member : members)
        if (member(c)) return !negated;
      return negated;
    };
  }

  Set single(bool any_case) {
    static const std::vector<std::pair<std::string_view, ClassSet>> classes = {
        {"\\p{L}", letters},
        {"\\p{N}", numbers},
        {"\\p{M}", bit(CharClass::mark)},
        {"\\p{Lu}", bit(CharClass::upper)},
        {"\\p{Lt}", bit(CharClass::upper)},
        {"\\p{Ll}", bit(CharClass::lower)},
        {"\\p{Lm}", bit(CharClass::letter)},
        {"\\p{Lo}", bit(CharClass::letter)},
        {"\\s", spaces},
        {"\\S", static_cast<ClassSet>(~spaces)}};
    for (const auto& [name, members] : classes)
      if (take(name)) return [m = members](uint32_t c) { return (bit(char_class(c)) & m) != 0; };
    uint32_t literal = static_cast<uint8_t>(rest_[0]);
    if (take("\\r")) {
      literal = '\r';
    } else if (take("\\n")) {
      literal = '\n';
    } else {
      rest_.remove_prefix(1);
    }
    if (!any_case) return [literal](uint32_t c) { return c == literal; };
    return [literal](uint32_t c) { return fold(c) == fold(literal); };
  }

  static uint32_t fold(uint32_t c) {
    if (c == 0x17f) return 's';
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
  }

  std::string_view rest_;
  Node root_;
};

}  // namespace katman::testing
