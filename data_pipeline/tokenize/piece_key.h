// Short pieces as numbers: what the encoder's cache and the piece counter look up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace katman {

// The bytes of a piece of 1 to 15 bytes, zero-filled, and its size in the last byte: equal keys are
// equal pieces. All-zero is no piece.
struct PieceKey {
  static constexpr size_t max_bytes = 15;
  uint64_t low = 0, high = 0;

  bool operator==(const PieceKey&) const = default;
  bool exists() const { return high != 0; }
  size_t size() const { return high >> 56; }

  // The top bits are the good ones.
  uint64_t hash() const {
    const uint64_t h = high * 0x9e3779b97f4a7c15ull;
    return (low ^ (h >> 32 | h << 32)) * 0xd6e8feb86659fd93ull;
  }
};

// The key of [p, p + size), 1 <= size <= 15. Reads 16 bytes at once unless `readable_end` is
// nearer.
inline PieceKey piece_key(const char* p, size_t size, const char* readable_end) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  PieceKey key;
  if (readable_end - p >= 16) {
    std::memcpy(&key, p, 16);
    const uint64_t mask = ~uint64_t{0} >> (-size * 8 & 63);  // of the last, incomplete word
    key.high = size > 8 ? key.high & mask : 0;
    key.low = size < 8 ? key.low & mask : key.low;
  } else {
    std::memcpy(&key, p, size);
  }
  key.high |= uint64_t{size} << 56;
  return key;
}

}  // namespace katman
