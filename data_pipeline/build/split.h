// Which documents are held out: decided by a hash of their text, so that a document stays on its
// side while the corpus around it grows or shrinks a little.
#pragma once

#include <cstdint>
#include <vector>

#include "data_pipeline/corpus/hash.h"
#include "data_pipeline/corpus/manifest.h"

namespace katman {

// A document's side. Documents are ranked by their hash, those from `long_bytes` on after all
// others: one of them could be most of a small validation split. The first in rank are held out.
struct SplitRule {
  uint64_t long_bytes = 0;
  uint64_t threshold = 0;  // ranks below it are for validation

  uint64_t rank(const Hash128& hash, uint64_t bytes) const {
    return hash.high >> 1 | uint64_t{bytes >= long_bytes} << 63;
  }
  Split operator()(const Hash128& hash, uint64_t bytes) const {
    return rank(hash, bytes) < threshold ? Split::validation : Split::train;
  }
};

// Looks at all documents and chooses the threshold.
class SplitChooser {
 public:
  // About `total_bytes` of text will be seen. Of it, `share` in (0, 1) is to be held out; 0 is the
  // default: one per cent, but 1 MB where that is a tenth at most, and 64 MB at most.
  SplitChooser(uint64_t total_bytes, double share);

  void add(const Hash128& hash, uint64_t bytes);

  // What comes nearest to the share. Each side has a document if there are two that differ in the
  // first 16 bits of their ranks. A function of what was added, not of the order.
  SplitRule choose() const;

 private:
  uint64_t wanted(uint64_t text_bytes) const;

  double share_;
  SplitRule rule_;
  uint64_t text_bytes_ = 0;
  std::vector<uint64_t> bytes_by_rank_;  // [upper 16 bits of the rank]
};

// Documents whose hash is at most the returned number are a sample of about `wanted` bytes out of
// `text_bytes`.
uint64_t sample_threshold(uint64_t text_bytes, uint64_t wanted);

}  // namespace katman
