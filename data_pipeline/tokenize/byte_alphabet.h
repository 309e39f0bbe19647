// The spelling of bytes as visible characters that vocabulary files use: byte-level BPE stores its
// tokens as text, and not every byte string is text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace katman {

// The code point that stands for each byte (Radford et al., GPT-2): 33-126, 161-172 and 174-255
// stand for themselves, the other 68 take U+0100, U+0101, ... in order; the space is U+0120.
const std::array<uint32_t, 256>& byte_alphabet();

// The 256 bytes in the order of their code points: the order of the first ids of a trained
// vocabulary.
std::array<uint8_t, 256> bytes_in_alphabet_order();

// Bytes to visible characters (UTF-8), and back; nullopt if a character is not of the alphabet.
std::string spell_bytes(std::string_view bytes);
std::optional<std::string> unspell_bytes(std::string_view text);

}  // namespace katman
