// Raw files in, pages out: one at a time, in file order, in constant memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace katman {

enum class PageKind { html, text };

inline constexpr size_t max_url_bytes = 4096;

// One document as it was found: bytes in whatever character set, not yet cleaned.
struct Page {
  std::string url;    // what the record gives as its address, at most max_url_bytes of it; or empty
  std::string bytes;  // at most ReadOptions::max_page_bytes
  PageKind kind = PageKind::html;
  std::string
      charset;  // the label from the HTTP header ("utf-8" where the format says so), or empty
  uint64_t offset = 0;  // where it starts in the decompressed file, in bytes
  // Its number in the file, from 1: of the record in WARC, of the line in JSON lines, of the first
  // line in a text that gave several pages. 0: the file is the page.
  uint64_t record = 0;
};

// Something wrong with one record of a file that could be read on.
struct ReadIssue {
  std::string where, what;
};

// What became of a file so far: records == pages + the sum over skipped, always.
struct ReadCounters {
  uint64_t bytes_in = 0;   // read from disk, compressed
  uint64_t bytes_out = 0;  // delivered in pages
  uint64_t records = 0;
  uint64_t pages = 0;
  std::map<std::string, uint64_t> skipped;  // records that gave no page, by reason
  std::map<std::string, uint64_t>
      repaired;                   // pages that were delivered, but not as they were found
  std::vector<ReadIssue> issues;  // the first few, with their place
};

struct ReadOptions {
  std::string json_text_field = "text";
  std::string json_url_field = "url";
  // Longer records are skipped and counted; this bounds the memory of a reader (about twice this).
  size_t max_page_bytes = size_t{16} << 20;
  // A plain text file is one page while it fits; a longer one is cut into pages of at most this
  // size, at the last blank line, else line end, else space, else character.
  size_t text_page_bytes = size_t{1} << 20;
};

// One open file. Not for use by several threads at once.
class PageReader {
 public:
  virtual ~PageReader() = default;

  // Fills `page` (reusing its memory) with the next one; false at the end of the file. Throws Error
  // when the file cannot be read on (truncated or damaged compression, a record that runs past the
  // end), after everything before that place was delivered.
  virtual bool next(Page& page) = 0;

  virtual const ReadCounters& counters() const = 0;
};

// Opens a file of any supported kind. The first bytes decide, not the name: gzip or zstd or neither
// outside; inside WARC (response and conversion records, so also WET), JSON lines, HTML, or else
// plain text. Throws Error for a file that cannot be opened or is none of these.
std::unique_ptr<PageReader> open_pages(const std::string& path, const ReadOptions& options = {});

// A file to read, and its name for people: from the last part of what they named on. Of `crawl/a`,
// the file `crawl/a/b/c.html` is `a/b/c.html`; of `.`, it is `crawl/a/b/c.html`.
struct InputFile {
  std::string path, name;
};

// The files to read, sorted by path and each once: files as given, directories searched recursively
// for names that end like a supported format (other files there are counted in the log). Throws
// UsageError for a path that does not exist and for a directory with nothing to read.
std::vector<InputFile> list_inputs(const std::vector<std::string>& paths);

}  // namespace katman
