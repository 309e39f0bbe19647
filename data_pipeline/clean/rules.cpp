#include "data_pipeline/clean/rules.h"

namespace katman {
namespace {

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Gopher: Rae et al., 2021, appendix A.1. C4: Raffel et al., 2020, section 2.2. FineWeb: Penedo et
// al., 2024, section 3.5. Where a limit differs, the reason stands in the text.
constexpr Rule table[] = {
    {"too_short", true, [](const Measures& m) { return m.bytes < 200; },
     "less than 200 bytes of text (Gopher: 50 words; bytes compare across scripts, and a short "
     "manual "
     "page is a page)"},
    {"garbled", true, [](const Measures& m) { return share(m.replacements, m.visible) > 0.01; },
     "more than 1 % of the characters could not be decoded"},
    {"few_letters", true, [](const Measures& m) { return share(m.letters, m.visible) < 0.5; },
     "less than half of the characters are letters (Gopher: 80 % of words have one; characters "
     "need "
     "no word boundaries)"},
    {"encoded_data", true, [](const Measures& m) { return share(m.blob, m.points) > 0.1; },
     "more than 10 % is in unbroken runs of over 100 letters and digits (C4: no word over 1,000)"},
    {"symbols", true,
     [](const Measures& m) {
       return static_cast<double>(m.hashes) > 0.1 * m.words ||
              static_cast<double>(m.ellipses) > 0.1 * m.words;
     },
     "more than one # or one ellipsis for ten words (Gopher)"},
    {"bullet_lines", true,
     [](const Measures& m) { return m.lines >= 10 && share(m.bullet_lines, m.lines) > 0.9; },
     "more than 90 % of at least ten lines start with a bullet (Gopher)"},
    {"ellipsis_lines", true,
     [](const Measures& m) { return share(m.ellipsis_lines, m.lines) > 0.3; },
     "more than 30 % of the lines end with an ellipsis (Gopher)"},
    {"repeated_lines", true,
     [](const Measures& m) { return share(m.repeated_line_points, m.points) > 0.2; },
     "more than 20 % of the text is in lines that occurred before (Gopher, without its share of "
     "the "
     "number of lines: a closing brace is a line)"},
    {"repeated_paragraphs", true,
     [](const Measures& m) { return share(m.repeated_paragraph_points, m.points) > 0.2; },
     "more than 20 % of the text is in paragraphs that occurred before (Gopher)"},
    {"top_ngram", true,
     [](const Measures& m) {
       return m.top_ngram[0] > 0.20 || m.top_ngram[1] > 0.18 || m.top_ngram[2] > 0.16;
     },
     "one sequence of 2, 3 or 4 words makes up more than 20, 18 or 16 % of the text (Gopher)"},
    {"repeated_ngrams", true, [](const Measures& m) { return m.repeated_10grams > 0.3; },
     "more than 30 % of the text is in sequences of ten words that occurred before (Gopher: 10 %, "
     "which manuals with a fixed form of words exceed)"},
    {"lorem_ipsum", true, [](const Measures& m) { return m.lorem_ipsum; },
     "the text contains \"lorem ipsum\" (C4)"},
    {"line_ends", false, [](const Measures& m) { return share(m.ended_lines, m.lines) < 0.12; },
     "less than 12 % of the lines end like a sentence (FineWeb; tables and listings do not)"},
    {"short_lines", false, [](const Measures& m) { return share(m.short_lines, m.lines) > 0.67; },
     "more than 67 % of the lines have at most 30 characters (FineWeb; ideographs say more in 30)"},
    {"few_words", false, [](const Measures& m) { return m.words < 50; },
     "less than 50 words (Gopher)"},
    {"too_long", false, [](const Measures& m) { return m.words > 100000; },
     "more than 100,000 words (Gopher; a book is longer)"},
    {"word_length", false,
     [](const Measures& m) {
       const double mean = m.words == 0 ? 0 : static_cast<double>(m.letters + m.digits) / m.words;
       return mean < 3 || mean > 10;
     },
     "words have on average less than 3 or more than 10 letters (Gopher; true of English)"},
    {"english_stop_words", false, [](const Measures& m) { return m.english_stop_words < 2; },
     "less than two of the, be, to, of, and, that, have, with (Gopher; English only)"},
};

}  // namespace

std::span<const Rule> rules() { return table; }

}  // namespace katman
