// Which documents are exact copies of an earlier one, in bounded memory.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data_pipeline/corpus/file.h"
#include "data_pipeline/corpus/hash.h"

namespace katman {

// A document's place in the order of the input, and what is needed to judge it.
struct DocumentId {
  Hash128 hash;        // of its text
  uint64_t index = 0;  // within the lane
  uint32_t lane = 0;   // lanes are ordered like the input
  uint32_t bytes = 0;  // of text
};

// The verdict: which documents stay.
struct Survivors {
  std::vector<std::vector<bool>> duplicate;  // [lane][index]
  uint64_t documents = 0, duplicates = 0;
  uint64_t text_bytes = 0;  // of the documents that stay
};

// Collects the hashes of all documents, then finds those that occurred before.
//
// Hashes are spread over 64 partitions; a partition that grows is spilled to a scratch file, and
// find() loads one at a time: 1/64 of 32 bytes per document, so a billion documents take 0.5 GB,
// and one bit per document at the end. Of equal documents the first in the order of the input
// stays, whatever the order of add().
class DuplicateFinder {
 public:
  // Scratch files go to `directory`. `spill_at`: records of a partition to hold in memory.
  explicit DuplicateFinder(std::string directory, size_t spill_at = 1 << 13);
  ~DuplicateFinder();

  // Thread-safe.
  void add(std::span<const DocumentId> documents);

  // documents_per_lane[lane] is how many were added for it. Calls visit() for each document that
  // stays, in no particular order. Called once, after all add().
  Survivors find(std::span<const uint64_t> documents_per_lane,
                 const std::function<void(const DocumentId&)>& visit);

 private:
  struct Partition;
  std::string directory_;
  size_t spill_at_;
  std::mutex mutex_;
  std::vector<Partition> partitions_;
};

}  // namespace katman
