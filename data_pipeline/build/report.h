// What became of the input: every record is kept, or skipped or dropped for a named reason.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data_pipeline/corpus/manifest.h"
#include "data_pipeline/read/pages.h"

namespace katman {

// Counts that add up: over batches, over files, over the whole build.
struct Ledger {
  uint64_t files = 0;
  uint64_t file_bytes = 0;                   // on disk, compressed
  uint64_t page_bytes = 0;                   // of pages, as they were found
  uint64_t records = 0;                      // in the files
  uint64_t pages = 0;                        // of them, given to the rules
  uint64_t clean_bytes = 0;                  // of text that passed the rules, duplicates included
  uint64_t kept = 0;                         // documents in the corpus
  std::map<std::string, uint64_t> skipped;   // records that are no page, by reason
  std::map<std::string, uint64_t> dropped;   // pages, by rule
  std::map<std::string, uint64_t> repaired;  // pages that were not read as they were found
  std::vector<ReadIssue> issues;             // the first hundred

  Ledger& operator+=(const Ledger& other);
  // Throws unless records == pages + skipped and pages == kept + dropped: nothing is lost without a
  // reason.
  void check() const;
};

// The ledger and the corpus as a table for people, and as JSON for scripts. Both are pure functions
// of the counts: no times, no paths but those of issues.
std::string report_table(const Ledger& ledger, const Manifest& manifest);
std::string report_json(const Ledger& ledger, const Manifest& manifest);

inline constexpr const char* report_file = "report.json";

}  // namespace katman
