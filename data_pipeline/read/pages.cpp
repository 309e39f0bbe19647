#include "data_pipeline/read/pages.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "data_pipeline/read/http.h"
#include "data_pipeline/read/reader.h"

namespace katman {
namespace {

bool contains_word(std::string_view text, std::string_view word) {
  for (size_t at = 0; at + word.size() <= text.size(); ++at)
    if (same_word(text.substr(at, word.size()), word)) return true;
  return false;
}

// A byte order mark of UTF-16 promises text with NUL bytes; without one NULs mean binary data.
bool is_binary(std::string_view first) {
  if (first.starts_with("\xff\xfe") || first.starts_with("\xfe\xff")) return false;
  return first.find('\0') != std::string_view::npos || first.starts_with("%PDF-");
}

bool is_html(std::string_view first) {
  const size_t start = first.find_first_not_of("\xef\xbb\xbf \t\r\n");
  if (start == std::string_view::npos || first[start] != '<') return false;
  for (const std::string_view mark : {"<!doctype html", "<html", "<head", "<body", "<title"})
    if (contains_word(first, mark)) return true;
  return false;
}

bool html_name(const std::string& path) {
  for (const std::string_view suffix : {".html", ".htm", ".xhtml"})
    for (const std::string_view packed : {"", ".gz", ".zst"})
      if (path.ends_with(std::string(suffix).append(packed))) return true;
  return false;
}

class EmptyReader : public CountingReader {
 public:
  EmptyReader(ByteWindow window, const std::string& path, const ReadOptions& options)
      : CountingReader(std::move(window), path, options) {
    skip("empty_file", 0, "the file is empty");
  }

 private:
  bool find_next(Page&) override { return false; }
};

}  // namespace

std::unique_ptr<PageReader> open_pages(const std::string& path, const ReadOptions& options) {
  ByteWindow window(open_bytes(path));
  const bool empty = window.at_end();
  constexpr size_t enough = 4096;
  const std::string_view first = window.peek(enough).substr(0, enough);
  if (empty) return std::make_unique<EmptyReader>(std::move(window), path, options);
  if (first.starts_with("WARC/")) return warc_reader(std::move(window), path, options);
  require(!is_binary(first),
          "{} is neither WARC, JSON lines, HTML nor text: it starts like binary data", path);
  const size_t start = first.find_first_not_of("\xef\xbb\xbf \t\r\n");
  if (start != std::string_view::npos && first[start] == '{')
    return json_lines_reader(std::move(window), path, options);
  if (is_html(first) || html_name(path)) return html_reader(std::move(window), path, options);
  return text_reader(std::move(window), path, options);
}

}  // namespace katman
