// Coarse classes of characters, for statistics: a wrong answer for a rare symbol does no harm.
#pragma once

namespace katman {

enum class Class { space, letter, digit, other };

// Letters and marks of any script; digits are ASCII only. Ranges that are wholly or almost wholly
// punctuation, symbols, pictures or private use are `other`, everything else above ASCII is a
// letter.
Class class_of(char32_t point);

// Scripts written without spaces between words: Han, kana, Thai, Lao, Khmer, Myanmar, Tibetan.
bool unspaced(char32_t point);

bool ends_sentence(char32_t point);  // . ! ? and their like in other scripts, and closing quotes

}  // namespace katman
