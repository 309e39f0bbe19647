#include "data_pipeline/tokenize/byte_alphabet.h"

#include <algorithm>
#include <numeric>

namespace katman {
namespace {

constexpr uint32_t last_code = 0x143;  // 0x100 + 68 - 1

std::array<int, last_code + 1> inverse_alphabet() {
  std::array<int, last_code + 1> inverse;
  inverse.fill(-1);
  for (int b = 0; b < 256; ++b) inverse[byte_alphabet()[static_cast<size_t>(b)]] = b;
  return inverse;
}

}  // namespace

const std::array<uint32_t, 256>& byte_alphabet() {
  static const auto alphabet = [] {
    std::array<uint32_t, 256> codes{};
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool visible = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
      codes[b] = visible ? b : next++;
    }
    return codes;
  }();
  return alphabet;
}

std::array<uint8_t, 256> bytes_in_alphabet_order() {
  std::array<uint8_t, 256> order;
  std::iota(order.begin(), order.end(), uint8_t{0});
  std::sort(order.begin(), order.end(),
            [](uint8_t a, uint8_t b) { return byte_alphabet()[a] < byte_alphabet()[b]; });
  return order;
}

std::string spell_bytes(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (char c : bytes) {
    const uint32_t code = byte_alphabet()[static_cast<uint8_t>(c)];
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {  // all others are below U+0800: two bytes
      text += static_cast<char>(0xc0 | code >> 6);
      text += static_cast<char>(0x80 | (code & 0x3f));
    }
  }
  return text;
}

std::optional<std::string> unspell_bytes(std::string_view text) {
  static const auto inverse = inverse_alphabet();
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t code = static_cast<uint8_t>(text[i]);
    if (code >= 0x80) {
      if (++i == text.size()) return std::nullopt;
      code = (code & 0x1f) << 6 | (static_cast<uint8_t>(text[i]) & 0x3f);
      if ((static_cast<uint8_t>(text[i - 1]) & 0xe0) != 0xc0) return std::nullopt;
    }
    if (code > last_code || inverse[code] < 0) return std::nullopt;
    bytes += static_cast<char>(inverse[code]);
  }
  return bytes;
}

}  // namespace katman
