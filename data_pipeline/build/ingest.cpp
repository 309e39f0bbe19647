#include "data_pipeline/build/ingest.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "data_pipeline/build/in_order.h"
#include "data_pipeline/build/source.h"

namespace katman {
namespace {

namespace fs = std::filesystem;

// A batch is large enough that handing it around costs nothing and small enough that hundreds fit
// in memory. Batches depend on the files only, never on timing.
constexpr size_t batch_bytes = 1 << 20, batch_pages = 1 << 12;
// Small files share a lane, up to this many bytes on disk: a lane has a scratch file.
constexpr uint64_t lane_bytes = 64 << 20;

constexpr const char* damaged = "damaged_file_rest";
constexpr const char* exact_duplicate = "exact_duplicate";

struct Batch {
  std::vector<Page> pages;  // url: from here on, the source
  Ledger read;              // of the files that ended in this batch
};

struct Cleansed {
  std::string packed;  // the frame
  std::vector<DocumentId> documents;
  Ledger ledger;
};

// A few consecutive input files, read one after the other into one scratch file.
class IngestLane {
 public:
  IngestLane(uint32_t number, std::vector<InputFile> files, const std::string& scratch,
             const ReadOptions& read, Progress& progress)
      : number_(number),
        files_(std::move(files)),
        store_(fmt::format("{}/text-{}", scratch, number)),
        read_(read),
        progress_(progress) {}

  // Fills the batch; false when there is nothing left to read.
  bool pull(Batch& batch) {
    for (size_t bytes = 0; bytes < batch_bytes && batch.pages.size() < batch_pages;) {
      check_stop(progress_);
      if (!reader_ && next_file_ == files_.size()) break;
      try {
        if (!reader_) {
          bytes_seen_ = 0;
          reader_ = open_pages(files_[next_file_++].path, read_);
        }
        Page page;
        if (reader_->next(page)) {
          bytes += page.bytes.size();
          page.url = source_of(page, files_[next_file_ - 1].name);
          batch.pages.push_back(std::move(page));
        } else {
          end_file(batch, nullptr);
        }
      } catch (const Error& error) {
        end_file(batch, &error);
      }
      if (reader_) advance(reader_->counters().bytes_in);
    }
    return !batch.pages.empty() || batch.read.files > 0;
  }

  // Appends a finished batch; batches come in order.
  void commit(Cleansed& batch, DuplicateFinder& finder) {
    for (DocumentId& document : batch.documents) {
      document.lane = number_;
      document.index = documents_++;
    }
    finder.add(batch.documents);
    if (!batch.documents.empty()) store_.write(batch.packed.data(), batch.packed.size());
    ledger_ += batch.ledger;
  }

  // After the last commit.
  const Ledger& finish() {
    store_.commit_lazily();
    return ledger_;
  }
  const std::string& store_path() const { return store_.path(); }
  uint64_t documents() const { return documents_; }

 private:
  void advance(uint64_t bytes_in) {
    progress_.position += bytes_in - std::exchange(bytes_seen_, bytes_in);
  }

  // Closes the open file; `error` says why it could not be read to its end.
  void end_file(Batch& batch, const Error* error) {
    const std::string& path = files_[next_file_ - 1].path;
    std::error_code ignored;
    const auto size = fs::file_size(path, ignored);
    Ledger file;
    file.files = 1;
    file.file_bytes = ignored ? 0 : size;
    if (reader_) {
      const ReadCounters& counters = reader_->counters();
      file.page_bytes = counters.bytes_out;
      file.records = counters.records;
      file.pages = counters.pages;
      file.skipped = counters.skipped;
      file.repaired = counters.repaired;
      file.issues = counters.issues;
    }
    if (error) {
      spdlog::warn("{}", error->what());
      file.records += 1;
      file.skipped[damaged] += 1;
      file.issues.push_back({path, error->what()});
    }
    batch.read += file;
    advance(file.file_bytes);
    reader_.reset();
  }

  const uint32_t number_;
  const std::vector<InputFile> files_;
  NewFile store_;
  const ReadOptions& read_;
  Progress& progress_;
  size_t next_file_ = 0;
  std::unique_ptr<PageReader> reader_;
  uint64_t bytes_seen_ = 0;  // of the open file, compressed
  uint64_t documents_ = 0;   // committed
  Ledger ledger_;            // committed
};

Cleansed clean_batch(const Batch& batch, const Cleaner& cleaner, Progress& progress) {
  Cleansed result;
  result.ledger = batch.read;
  Frame frame;
  frame.reserve(batch_bytes + batch_bytes / 8);
  for (const Page& page : batch.pages) {
    const Cleaned cleaned = cleaner(page);
    progress.bytes += page.bytes.size();
    progress.documents += 1;
    if (cleaned.dropped) {
      ++result.ledger.dropped[cleaned.dropped];
      continue;
    }
    result.documents.push_back(
        {.hash = hash128(cleaned.text), .bytes = static_cast<uint32_t>(cleaned.text.size())});
    result.ledger.clean_bytes += cleaned.text.size();
    frame.add(page.url, cleaned.text);
  }
  if (frame.documents() > 0) result.packed = frame.pack();
  return result;
}

std::vector<std::vector<InputFile>> group_into_lanes(const std::vector<InputFile>& files) {
  std::vector<std::vector<InputFile>> lanes;
  uint64_t bytes = lane_bytes;
  for (const InputFile& file : files) {
    if (bytes >= lane_bytes) {
      lanes.emplace_back();
      bytes = 0;
    }
    std::error_code ignored;
    const auto size = fs::file_size(file.path, ignored);
    bytes += ignored ? 0 : size;
    lanes.back().push_back(file);
  }
  return lanes;
}

uint64_t bytes_on_disk(const std::vector<InputFile>& files) {
  uint64_t sum = 0;
  for (const InputFile& file : files) {
    std::error_code ignored;
    const auto size = fs::file_size(file.path, ignored);
    sum += ignored ? 0 : size;
  }
  return sum;
}

}  // namespace

void check_stop(const Progress& progress) {
  require(!progress.stop, "interrupted while {}; nothing was written", progress.stage.load());
}

Ingested ingest(const BuildOptions& options, const std::vector<InputFile>& files,
                const std::string& scratch, Progress& progress) {
  const Cleaner cleaner(options.clean);
  const auto groups = group_into_lanes(files);
  DuplicateFinder finder(scratch);
  Ingested result;
  result.stores.resize(groups.size());
  result.documents.resize(groups.size());
  std::vector<Ledger> ledgers(groups.size());  // [lane], summed in order

  progress.begin("reading pages", bytes_on_disk(files));
  uint32_t opened = 0;
  run_in_order(options.threads, [&]() -> Lane {
    if (opened == groups.size()) return {};
    const uint32_t number = opened++;
    auto lane =
        std::make_shared<IngestLane>(number, groups[number], scratch, options.read, progress);
    return [&, lane, number, over = false]() mutable -> Work {
      if (over) return {};
      auto batch = std::make_shared<Batch>();
      if (lane->pull(*batch))
        return [&, lane, batch]() -> Commit {
          auto result = std::make_shared<Cleansed>(clean_batch(*batch, cleaner, progress));
          return [&, lane, result] { lane->commit(*result, finder); };
        };
      over = true;
      return [&, lane, number]() -> Commit {
        return [&, lane, number] {
          ledgers[number] = lane->finish();
          result.stores[number] = lane->store_path();
          result.documents[number] = lane->documents();
        };
      };
    };
  });
  for (const Ledger& ledger : ledgers) result.ledger += ledger;
  SplitChooser chooser(result.ledger.clean_bytes, options.validation);
  result.survivors = finder.find(result.documents, [&](const DocumentId& document) {
    chooser.add(document.hash, document.bytes);
  });
  result.split = chooser.choose();
  if (result.survivors.duplicates > 0)
    result.ledger.dropped[exact_duplicate] += result.survivors.duplicates;
  return result;
}

bool FrameScan::next(StoredFrame& frame) {
  for (; lane_ < from_.stores.size(); ++lane_) {
    if (!reader_) {
      reader_ = std::make_unique<StoreReader>(from_.stores[lane_]);
      document_ = 0;
    }
    if (reader_->next(frame.packed, frame.documents)) {
      frame.lane = lane_;
      frame.first_document = document_;
      document_ += frame.documents;
      return true;
    }
    reader_.reset();
  }
  return false;
}

void for_each_survivor(const Ingested& from, const StoredFrame& frame,
                       const std::function<void(const Survivor&)>& visit) {
  const std::vector<bool>& duplicate = from.survivors.duplicate[frame.lane];
  uint64_t document = frame.first_document;
  Frame::unpack(frame.packed, from.stores[frame.lane])
      .for_each([&](std::string_view source, std::string_view text) {
        if (!duplicate[document++]) visit({source, text, hash128(text)});
      });
}

}  // namespace katman
