// What the readers of all formats share: the window on the file and the counters.
#pragma once

#include "data_pipeline/read/bytes.h"
#include "data_pipeline/read/pages.h"

namespace katman {

// Keeps "records == pages + the sum over skipped": a record ends in exactly one of deliver and
// skip.
class CountingReader : public PageReader {
 public:
  CountingReader(ByteWindow window, std::string path, ReadOptions options)
      : window_(std::move(window)), path_(std::move(path)), options_(std::move(options)) {}

  bool next(Page& page) final {
    const bool more = find_next(page);
    counters_.bytes_in = window_.bytes_in();
    return more;
  }
  const ReadCounters& counters() const final { return counters_; }

 protected:
  virtual bool find_next(Page& page) = 0;

  uint64_t records() const { return counters_.records; }  // so far
  void deliver(const Page& page) {
    ++counters_.records;
    ++counters_.pages;
    counters_.bytes_out += page.bytes.size();
  }
  void skip(const std::string& why) {
    ++counters_.records;
    ++counters_.skipped[why];
  }
  // A skip that means the input is wrong, not just of no use here: it is also written down.
  void skip(const std::string& why, uint64_t offset, std::string what) {
    skip(why);
    note(offset, std::move(what));
  }
  void repaired(const std::string& how) { ++counters_.repaired[how]; }
  void note(uint64_t offset, std::string what);

  // Drops `count` bytes, which need not fit into memory; false where the file ends before.
  bool discard(uint64_t count);

  ByteWindow window_;
  std::string path_;
  ReadOptions options_;

 private:
  ReadCounters counters_;
};

std::unique_ptr<PageReader> warc_reader(ByteWindow window, const std::string& path,
                                        const ReadOptions& options);
// Lines end in LF or CRLF; empty ones are no records. A line without the text field, or that is not
// JSON, is skipped and counted.
std::unique_ptr<PageReader> json_lines_reader(ByteWindow window, const std::string& path,
                                              const ReadOptions& options);
// One HTML document per file.
std::unique_ptr<PageReader> html_reader(ByteWindow window, const std::string& path,
                                        const ReadOptions& options);
std::unique_ptr<PageReader> text_reader(ByteWindow window, const std::string& path,
                                        const ReadOptions& options);

}  // namespace katman
