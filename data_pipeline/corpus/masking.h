// What a sample hides from the model besides the future.
#pragma once

#include <cstdint>
#include <span>

#include "core/random.h"

namespace katman {

// For every position of `ids`, the first position of its document. A document ends with
// `end_of_document`, its last token; one that began before the sample starts with it.
void document_starts(std::span<const int32_t> ids, int32_t end_of_document,
                     std::span<int32_t> starts);

// Input tokens behind a mask: each position with probability `fraction`, by (key, sample, position)
// alone, whatever the layout and the history.
struct InputMask {
  float fraction = 0;
  int32_t token = 0;         // what stands there instead
  bool hidden_only = false;  // targets of positions that are not hidden become -1: not counted
  Key key = {};

  bool hides(uint64_t sample, uint64_t position) const {
    return random_uniform(key.at(sample), position) < fraction;
  }
  void apply(uint64_t sample, std::span<int32_t> ids, std::span<int32_t> targets) const;
};

}  // namespace katman
