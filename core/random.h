// Randomness without state: every value is a pure function of (seed, name, index), so it does not
// depend on the layout, the device or the history.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace katman {

// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
// generators", OOPSLA 2014; constants by D. Stafford, "Mix13"). A bijection on 64 bits.
constexpr uint64_t mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// A stream of random numbers, named: weights "h.3.mlp.up", dropout "h.3.attn", the order of an
// epoch.
struct Key {
  uint64_t value = 0;

  constexpr Key() = default;
  constexpr explicit Key(uint64_t seed) : value(mix64(seed + 0x9e3779b97f4a7c15ull)) {}

  // The stream called `name` (or numbered `index`) below this one.
  constexpr Key at(std::string_view name) const {
    uint64_t h = 0xcbf29ce484222325ull;  // FNV-1a over the name, then mixed into the parent
    for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
    return child(h);
  }
  constexpr Key at(uint64_t index) const { return child(mix64(index ^ 0x6a09e667f3bcc909ull)); }

 private:
  constexpr Key child(uint64_t h) const {
    Key key;
    key.value = mix64(value ^ mix64(h + 0x9e3779b97f4a7c15ull));
    return key;
  }
};

// 64 random bits: element `index` of the stream. SplitMix64 with a random start, by random access.
constexpr uint64_t random_bits(Key key, uint64_t index) {
  return mix64(key.value + (index + 1) * 0x9e3779b97f4a7c15ull);
}

// Uniform in [0, 1), 24 bits: every value is a float.
constexpr float random_uniform(Key key, uint64_t index) {
  return static_cast<float>(random_bits(key, index) >> 40) * 0x1p-24f;
}

// Standard normal, by Box and Muller from the two halves of one draw. Computed in double so that
// the float is the same wherever the C library rounds its last bit of log and cos differently.
inline float random_normal(Key key, uint64_t index) {
  const uint64_t bits = random_bits(key, index);
  const double u1 = (static_cast<double>(bits >> 32) + 0.5) * 0x1p-32;
  const double u2 = static_cast<double>(bits & 0xffffffffull) * 0x1p-32;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u1)) * std::cos(6.283185307179586 * u2));
}

}  // namespace katman
