#include "data_pipeline/corpus/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace katman {

uint64_t hash64(const void* data, uint64_t bytes) { return XXH3_64bits(data, bytes); }

Hash128 hash128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace katman
