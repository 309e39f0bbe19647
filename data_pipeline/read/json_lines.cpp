#include <fmt/format.h>

#include "data_pipeline/read/json_line.h"
#include "data_pipeline/read/reader.h"

namespace katman {
namespace {

class JsonLinesReader : public CountingReader {
 public:
  using CountingReader::CountingReader;

 private:
  bool find_next(Page& page) override {
    if (window_.offset() == 0 && window_.peek(3).starts_with("\xef\xbb\xbf")) window_.consume(3);
    while (!window_.at_end())
      if (take_line(page)) return true;
    return false;
  }

  bool take_line(Page& page) {
    const uint64_t offset = window_.offset();
    ++line_number_;
    const std::string_view line = whole_line();
    if (line.data() == nullptr) {
      if (!discard_line()) window_.check();
      return skip("json_line_too_long", offset,
                  fmt::format("line {} is longer than {} bytes", line_number_, limit())),
             false;
    }
    const size_t taken = line.size() + 1;
    const bool blank = line.find_first_not_of(" \t\r") == std::string_view::npos;
    const bool delivered = !blank && parse(page, line, offset);
    window_.consume(std::min(taken, window_.peek(1).size()));
    return delivered;
  }

  // An escaped character takes up to six bytes for one.
  size_t limit() const { return 2 * options_.max_page_bytes; }

  // The window from its start to the next line end; no data where the line is too long.
  std::string_view whole_line() {
    size_t searched = 0;
    for (size_t want = 1;; want = 2 * searched) {
      const std::string_view ahead = window_.peek(want);
      const size_t end = ahead.find('\n', searched);
      if (end != std::string_view::npos && end <= limit()) return ahead.substr(0, end);
      searched = ahead.size();
      if (end != std::string_view::npos || searched > limit()) return {};
      if (ahead.size() < want) {
        window_.check();  // a line that damage cuts off is not a line
        return ahead;
      }
    }
  }
  bool discard_line() {
    while (true) {
      const std::string_view ahead = window_.peek(1);
      const size_t end = ahead.find('\n');
      if (end != std::string_view::npos) return window_.consume(end + 1), true;
      if (ahead.empty()) return false;
      window_.consume(ahead.size());
    }
  }

  bool parse(Page& page, std::string_view line, uint64_t offset) {
    JsonField fields[] = {{options_.json_text_field, std::move(page.bytes)},
                          {options_.json_url_field, std::move(page.url)}};
    const JsonLine result = read_json_fields(line, fields);
    auto& [text, url] = fields;
    if (result.error)
      return skip("json_broken_line", offset,
                  fmt::format("line {} is not a JSON object: {}", line_number_, result.error)),
             false;
    if (!text.found)
      return skip("json_no_text_field", offset,
                  fmt::format("line {} has no string called \"{}\"", line_number_, text.name)),
             false;
    if (text.value.size() > options_.max_page_bytes) return skip("page_too_large"), false;
    if (result.lone_surrogate) repaired("json_lone_surrogate");
    page.bytes = std::move(text.value);
    page.url.clear();
    if (url.found) page.url.assign(url.value, 0, max_url_bytes);
    page.kind = PageKind::text;
    page.charset = "utf-8";
    page.offset = offset;
    page.record = line_number_;
    return deliver(page), true;
  }

  uint64_t line_number_ = 0;
};

}  // namespace

std::unique_ptr<PageReader> json_lines_reader(ByteWindow window, const std::string& path,
                                              const ReadOptions& options) {
  return std::make_unique<JsonLinesReader>(std::move(window), path, options);
}

}  // namespace katman
