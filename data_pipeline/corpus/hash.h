// Fingerprints of bytes: XXH3 (Y. Collet), which is faster than memory. They find damage and equal
// documents; they are no defence against somebody who wants a collision.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace katman {

struct Hash128 {
  uint64_t high = 0, low = 0;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
};

uint64_t hash64(const void* data, uint64_t bytes);
inline uint64_t hash64(std::string_view bytes) { return hash64(bytes.data(), bytes.size()); }
Hash128 hash128(std::string_view bytes);

// 16 lower-case hexadecimal digits.
std::string hex(uint64_t value);

}  // namespace katman
