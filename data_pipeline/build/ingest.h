// Pass 1 of a build: raw files become cleaned documents in scratch files.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data_pipeline/build.h"
#include "data_pipeline/build/duplicates.h"
#include "data_pipeline/build/split.h"
#include "data_pipeline/build/store.h"

namespace katman {

// What pass 1 leaves to pass 2.
struct Ingested {
  std::vector<std::string> stores;  // [lane] scratch file; lanes are ordered like the input
  std::vector<uint64_t> documents;  // [lane]
  Survivors survivors;
  SplitRule split;
  Ledger ledger;  // duplicates counted, `kept` still 0
};

// Reads, cleans and stores everything in `files`; scratch files go to `scratch`. A file that cannot
// be read on is given up from there, logged, and counted as one dropped record.
Ingested ingest(const BuildOptions& options, const std::vector<InputFile>& files,
                const std::string& scratch, Progress& progress);

// A packed frame on its way through pass 2, and where its documents stand.
struct StoredFrame {
  std::string packed;
  uint32_t lane = 0;
  uint64_t first_document = 0;
  uint64_t documents = 0;
};

// All frames of pass 1 in the order of the input. Not for several threads at once.
class FrameScan {
 public:
  explicit FrameScan(const Ingested& from) : from_(from) {}
  bool next(StoredFrame& frame);

 private:
  const Ingested& from_;
  std::unique_ptr<StoreReader> reader_;
  uint32_t lane_ = 0;
  uint64_t document_ = 0;
};

// A document of a frame that is not a duplicate.
struct Survivor {
  std::string_view source, text;
  Hash128 hash;  // of the text
};

// Calls visit() for each. Thread-safe.
void for_each_survivor(const Ingested& from, const StoredFrame& frame,
                       const std::function<void(const Survivor&)>& visit);

// Throws if the watcher asked to stop.
void check_stop(const Progress& progress);

}  // namespace katman
