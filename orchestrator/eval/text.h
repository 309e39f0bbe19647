// How text is measured and compared in evaluations, to the letter as others do it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace katman {

// Bytes of white space at the end, by Unicode (what Python's str.rstrip takes away).
size_t trailing_space_bytes(std::string_view text);
// Parts between runs of white space, empty ones at the ends included: re.split(r"\s+", text).
int64_t count_words(std::string_view text);
// Code points.
int64_t count_characters(std::string_view text);

// An answer as SQuAD compares it (Rajpurkar et al., 2016): lower case, without punctuation and
// articles, words separated by one space.
std::string normalise_answer(std::string_view text);
double exact_match(std::string_view answer, std::string_view truth);
// Harmonic mean of precision and recall over the words of both, with multiplicity.
double f1(std::string_view answer, std::string_view truth);

}  // namespace katman
