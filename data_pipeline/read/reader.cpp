#include "data_pipeline/read/reader.h"

#include <fmt/format.h>

#include <algorithm>

namespace katman {

void CountingReader::note(uint64_t offset, std::string what) {
  constexpr size_t most = 8;
  if (counters_.issues.size() < most)
    counters_.issues.push_back({fmt::format("{}, byte {}", path_, offset), std::move(what)});
}

bool CountingReader::discard(uint64_t count) {
  while (count > 0) {
    const uint64_t here = std::min<uint64_t>(window_.peek(1).size(), count);
    if (here == 0) return false;
    window_.consume(here);
    count -= here;
  }
  return true;
}

}  // namespace katman
