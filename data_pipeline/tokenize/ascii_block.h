// Where the pieces of 64 bytes of ASCII begin, found with masks instead of a loop over bytes. Bit i
// of every mask is about byte i.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace katman {

#if defined(__SSE2__)

struct AsciiBlock {
  static constexpr bool available = true;
  uint64_t letters = 0, numbers = 0, spaces = 0;  // spaces: all white space
  uint64_t blanks = 0;                            // U+0020 only
  uint64_t quotes = 0;                            // the apostrophe
  uint64_t wide = 0;                              // bytes that are not ASCII

  // Reads the 64 bytes at p.
  explicit AsciiBlock(const char* p) {
    for (int i = 0; i < 64; i += 16) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
      const __m128i blank = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
      letters |= mask(in_range(_mm_or_si128(v, _mm_set1_epi8(0x20)), 'a', 26)) << i;
      numbers |= mask(in_range(v, '0', 10)) << i;
      spaces |= mask(_mm_or_si128(blank, in_range(v, '\t', 5))) << i;
      blanks |= mask(blank) << i;
      quotes |= mask(_mm_cmpeq_epi8(v, _mm_set1_epi8('\''))) << i;
      wide |= mask(v) << i;
    }
  }

 private:
  static uint64_t mask(__m128i v) { return static_cast<uint32_t>(_mm_movemask_epi8(v)); }
  // Bytes in [first, first + size), by one signed comparison after moving `first` to -128.
  static __m128i in_range(__m128i v, int first, int size) {
    const __m128i moved = _mm_add_epi8(v, _mm_set1_epi8(static_cast<char>(-128 - first)));
    return _mm_cmplt_epi8(moved, _mm_set1_epi8(static_cast<char>(-128 + size)));
  }
};

#else

// Without a cheap way to turn comparisons into masks, the scanner by character does all the work.
struct AsciiBlock {
  static constexpr bool available = false;
  uint64_t letters = 0, numbers = 0, spaces = 0, blanks = 0, quotes = 0, wide = ~uint64_t{0};
  explicit AsciiBlock(const char*) {}
};

#endif

// Where the pieces of pattern gpt2 after the first begin, given that one begins at p and that there
// are 64 bytes at p. Only what these bytes decide: the pieces whose beginning depends on what
// follows are left out, and all after them, so the result may be empty.
inline uint64_t gpt2_starts_after(const char* p) {
  const AsciiBlock block(p);
  // A beginning is decided by its byte, the one before and the one after.
  const int known = std::countr_zero(block.wide);  // 64 if all bytes are ASCII
  if (known < 3) return 0;
  uint64_t decided = (uint64_t{1} << (known - 1)) - 1;

  const uint64_t others = ~(block.letters | block.numbers | block.spaces);
  const auto continues = [](uint64_t set) { return set & set << 1; };
  uint64_t starts = ~(continues(block.letters) | continues(block.numbers) |
                      continues(block.spaces) | continues(others));
  // \s+(?!\S) leaves the last white space of a run to itself, or, if it is a blank, to what
  // follows.
  const uint64_t last_space = block.spaces & ~(block.spaces >> 1);
  starts = (starts | last_space | 1) & ~((block.blanks & last_space) << 1);

  // A contraction is a piece of its own where a piece begins with the apostrophe.
  for (uint64_t quotes = block.quotes & starts & decided; quotes != 0; quotes &= quotes - 1) {
    const int at = std::countr_zero(quotes);
    if (!(starts >> at & 1)) continue;
    if (at + 4 >= known) {
      decided &= (uint64_t{2} << at) - 1;
      break;
    }
    const char a = p[at + 1], b = p[at + 2];
    const bool one = a == 's' || a == 't' || a == 'm' || a == 'd';
    const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    if (!one && !two) continue;
    starts &= ~(uint64_t{2} << at);
    starts |= uint64_t{1} << (at + (one ? 2 : 3));
  }
  return starts & decided & ~uint64_t{1};
}

}  // namespace katman
