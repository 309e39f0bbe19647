// The scanners behind PieceScanner. Each `*_end` answers one question: given that a piece begins
// at p, where does it end? They transcribe the regular expressions of pattern.cpp alternative by
// alternative, first match wins; p < end always.
#include <bit>

#include "core/error.h"
#include "data_pipeline/tokenize/ascii_block.h"
#include "data_pipeline/tokenize/pattern.h"
#include "data_pipeline/tokenize/unicode.h"

namespace katman {
namespace {

// The end of the longest run of characters of `set` that begins at p; p itself if there is none.
const char* run_end(const char* p, const char* end, ClassSet set) {
  while (p < end) {
    const Char c = read_char(p, end);
    if (!(c.cls & set)) break;
    p += c.size;
  }
  return p;
}

bool is_newline(char c) { return c == '\n' || c == '\r'; }

// Length of 's 't 'm 'd 're 've 'll at p, where the apostrophe is; 0 if it is none of them.
size_t contraction(const char* p, const char* end) {
  if (end - p < 2) return 0;
  const char a = p[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (end - p < 3) return 0;
  const char b = p[2];
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// The same without regard to case. U+017F, the long s, is an s under Unicode's simple case folding.
size_t contraction_any_case(const char* p, const char* end) {
  if (end - p >= 3 && p[1] == '\xc5' && p[2] == '\xbf') return 3;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; };
  char folded[3] = {'\'', 0, 0};
  const auto left = end - p < 3 ? end - p : 3;
  for (ptrdiff_t i = 1; i < left; ++i) folded[i] = lower(p[i]);
  return contraction(folded, folded + left);
}

// \s+(?!\S)|\s+ for a run of white space [p, stop): all of it at the end of the text; otherwise its
// last character is left for the next piece, unless it is the only one.
const char* spaces_end(const char* p, const char* stop, const char* end) {
  if (stop == end) return stop;
  const char* last = p;
  for (const char* q = p; q < stop; q += read_char(q, end).size) last = q;
  return last == p ? stop : last;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
const char* spaces_or_newlines_end(const char* p, const char* end) {
  const char* stop = run_end(p, end, spaces);
  for (const char* q = stop; q > p; --q)
    if (is_newline(q[-1])) return q;
  return spaces_end(p, stop, end);
}

// \p{N}{1,3}, with the first of them known to be there.
const char* digits_end(const char* p, const char* end) {
  for (int i = 0; i < 3 && p < end; ++i) {
    const Char c = read_char(p, end);
    if (!(c.cls & numbers)) break;
    p += c.size;
  }
  return p;
}

const char* gpt2_end(const char* p, const char* end) {
  if (*p == '\'')
    if (const size_t size = contraction(p, end)) return p + size;
  const char* q = p;
  Char c = read_char(p, end);
  if (*p == ' ' && p + 1 < end) {
    const Char after = read_char(p + 1, end);
    if (!(after.cls & spaces)) {
      c = after;
      ++q;
    }
  }
  if (c.cls & spaces) return spaces_end(p, run_end(p, end, spaces), end);
  return run_end(q + c.size, end, c.cls & letters ? letters : c.cls & numbers ? numbers : others);
}

// ` ?[^\s\p{L}\p{N}]+` and then any of \r, \n and, with `slash`, the slash. c is the character at
// p; nullptr if there is no such run.
const char* symbols_end(const char* p, Char c, const char* end, bool slash) {
  const char* q = c.cls & others ? p + c.size : p;
  if (*p == ' ') q = p + 1;
  const char* stop = run_end(q, end, others);
  if (stop == q && !(c.cls & others)) return nullptr;
  while (stop < end && (is_newline(*stop) || (slash && *stop == '/'))) ++stop;
  return stop;
}

const char* llama3_end(const char* p, const char* end) {
  if (*p == '\'')
    if (const size_t size = contraction_any_case(p, end)) return p + size;
  const Char c = read_char(p, end);
  if (c.cls & letters) return run_end(p + c.size, end, letters);
  if (c.cls & numbers) return digits_end(p, end);
  if (!is_newline(*p)) {
    const char* stop = run_end(p + c.size, end, letters);
    if (stop > p + c.size) return stop;
  }
  if (const char* stop = symbols_end(p, c, end, false)) return stop;
  return spaces_or_newlines_end(p, end);
}

constexpr ClassSet cased_up = bit(CharClass::upper);
constexpr ClassSet cased_down = bit(CharClass::lower);
constexpr ClassSet uncased = bit(CharClass::letter) | bit(CharClass::mark);

// [upper|uncased]*[lower|uncased]+ from p with the backtracking of the expression, else nullptr:
// with no lower-case letter after the first run, the last uncased character of it has to serve.
const char* word_ending_low(const char* p, const char* end) {
  const char* after_uncased = nullptr;
  const char* q = p;
  while (q < end) {
    const Char c = read_char(q, end);
    if (c.cls & cased_down) return run_end(q, end, cased_down | uncased);
    if (!(c.cls & (cased_up | uncased))) break;
    q += c.size;
    if (c.cls & uncased) after_uncased = q;
  }
  return after_uncased;
}

// The first two alternatives of o200k without their contraction; nullptr if neither matches.
const char* o200k_word_end(const char* p, Char c, const char* end) {
  const bool prefix = !is_newline(*p) && !(c.cls & (letters | numbers));
  const char* word = prefix ? p + c.size : p;
  if (const char* stop = word_ending_low(word, end)) return stop;
  if (prefix && (c.cls & uncased)) return word_ending_low(p, end);
  const char* stop = run_end(word, end, cased_up);
  return stop > word ? stop : nullptr;
}

const char* o200k_end(const char* p, const char* end) {
  const Char c = read_char(p, end);
  if (const char* stop = o200k_word_end(p, c, end))
    return stop < end && *stop == '\'' ? stop + contraction_any_case(stop, end) : stop;
  if (c.cls & numbers) return digits_end(p, end);
  if (const char* stop = symbols_end(p, c, end, true)) return stop;
  return spaces_or_newlines_end(p, end);
}

template <const char* piece_end(const char*, const char*)>
size_t fill(const char*& next, const char* end, std::span<const char*> ends) {
  size_t count = 0;
  for (; count < ends.size() && next < end; ++count) ends[count] = next = piece_end(next, end);
  return count;
}

// The same pieces as fill<gpt2_end>, most of those in ASCII text found 64 bytes at a time. A block
// begins where a piece begins, so nothing is carried from one to the next.
size_t fill_gpt2(const char*& next, const char* end, std::span<const char*> ends) {
  size_t count = 0;
  while (count < ends.size() && next < end) {
    const char* const block = next;
    if (AsciiBlock::available && end - block > 64)
      for (uint64_t starts = gpt2_starts_after(block); starts != 0 && count < ends.size();
           starts &= starts - 1)
        ends[count++] = next = block + std::countr_zero(starts);
    if (next == block) ends[count++] = next = gpt2_end(next, end);
  }
  return count;
}

}  // namespace

size_t PieceScanner::next(std::span<const char*> ends) {
  switch (pattern_) {
    case Pattern::gpt2:
      return fill_gpt2(next_, end_, ends);
    case Pattern::llama3:
      return fill<llama3_end>(next_, end_, ends);
    case Pattern::o200k:
      return fill<o200k_end>(next_, end_, ends);
  }
  fail("{} is not a pattern", static_cast<int>(pattern_));
}

}  // namespace katman
