#include "data_pipeline/clean/utf8.h"

#include <algorithm>
#include <cstring>

namespace katman {
namespace {

// What starts at bytes[at] (not ASCII): a well-formed sequence, or a maximal ill-formed subpart.
struct Sequence {
  size_t length;
  bool valid;
};

// Unicode standard, table 3-7: only the second byte has ranges that depend on the first.
Sequence sequence_at(std::string_view bytes, size_t at) {
  const auto lead = static_cast<unsigned char>(bytes[at]);
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  unsigned char low = 0x80, high = 0xbf;
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  for (size_t i = 1; i < length; ++i) {
    if (at + i >= bytes.size()) return {i, false};
    const auto byte = static_cast<unsigned char>(bytes[at + i]);
    if (byte < low || byte > high) return {i, false};
    low = 0x80, high = 0xbf;
  }
  return {length, true};
}

size_t skip_ascii(std::string_view bytes, size_t at) {
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t eight;
    std::memcpy(&eight, bytes.data() + at, sizeof eight);
    if (eight & 0x8080808080808080) break;
  }
  while (at < bytes.size() && static_cast<unsigned char>(bytes[at]) < 0x80) ++at;
  return at;
}

}  // namespace

void append_utf8(std::string& out, char32_t point) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (point >> shift & 0x3f)); };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    tail(12), tail(6), tail(0);
  }
}

size_t incomplete_utf8_bytes(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;  // a continuation: look further back
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

Utf8Census utf8_census(std::string_view bytes) {
  Utf8Census census;
  for (size_t at = skip_ascii(bytes, 0); at < bytes.size(); at = skip_ascii(bytes, at)) {
    const Sequence found = sequence_at(bytes, at);
    ++(found.valid ? census.multibyte : census.invalid);
    at += found.length;
  }
  return census;
}

std::string repair_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  size_t copied = 0;
  for (size_t at = skip_ascii(bytes, 0); at < bytes.size(); at = skip_ascii(bytes, at)) {
    const Sequence found = sequence_at(bytes, at);
    if (!found.valid) {
      out.append(bytes, copied, at - copied);
      append_utf8(out, replacement_character);
      copied = at + found.length;
    }
    at += found.length;
  }
  out.append(bytes, copied, bytes.size() - copied);
  return out;
}

}  // namespace katman
