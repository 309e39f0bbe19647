// Files that are documents themselves: HTML and plain text.
#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "data_pipeline/read/reader.h"

namespace katman {
namespace {

class HtmlReader : public CountingReader {
 public:
  using CountingReader::CountingReader;

 private:
  bool find_next(Page& page) override {
    if (window_.at_end()) return false;
    const std::string_view all = window_.peek(options_.max_page_bytes + 1);
    if (all.size() > options_.max_page_bytes) {
      skip("page_too_large", 0, "an HTML file that is larger than a page may be");
      while (!window_.at_end()) discard(window_.peek(1).size());
      return false;
    }
    window_.check();
    page = {"", std::string(all), PageKind::html, "", 0, 0};
    window_.consume(all.size());
    return deliver(page), true;
  }
};

class TextReader : public CountingReader {
 public:
  using CountingReader::CountingReader;

 private:
  bool find_next(Page& page) override {
    if (window_.at_end()) return false;
    const size_t most = std::min(options_.text_page_bytes, options_.max_page_bytes);
    const std::string_view ahead = window_.peek(most + 1);
    const size_t size = ahead.size() <= most ? ahead.size() : cut(ahead.substr(0, most));
    const bool whole = window_.offset() == 0 && size == ahead.size();
    page = {"",
            std::string(ahead.substr(0, size)),
            PageKind::text,
            "",
            window_.offset(),
            whole ? 0 : line_};
    line_ += static_cast<uint64_t>(std::ranges::count(page.bytes, '\n'));
    window_.consume(size);
    return deliver(page), true;
  }

  // Where to end a page that is too long: as late as possible behind the best kind of gap, but
  // never so early that pages become much smaller than allowed.
  size_t cut(std::string_view text) {
    const size_t least = text.size() / 2;
    if (const size_t at = text.rfind("\n\n"); at != std::string_view::npos && at > least)
      return at + 2;
    if (const size_t at = text.rfind('\n'); at != std::string_view::npos && at > least)
      return at + 1;
    repaired("text_cut_inside_a_line");
    if (const size_t at = text.rfind(' '); at != std::string_view::npos && at > least)
      return at + 1;
    // Not inside a UTF-8 sequence: before the lead byte among the last three, if it is one.
    size_t end = text.size();
    for (int back = 0; back < 3 && end > 1 && (text[end - 1] & 0xc0) == 0x80; ++back) --end;
    return (text[end - 1] & 0x80) && end > 1 ? end - 1 : text.size();
  }

  uint64_t line_ = 1;  // that the next page begins in
};

}  // namespace

std::unique_ptr<PageReader> html_reader(ByteWindow window, const std::string& path,
                                        const ReadOptions& options) {
  return std::make_unique<HtmlReader>(std::move(window), path, options);
}

std::unique_ptr<PageReader> text_reader(ByteWindow window, const std::string& path,
                                        const ReadOptions& options) {
  require_usage(options.text_page_bytes >= 64, "text_page_bytes is {}; at least 64 are needed",
                options.text_page_bytes);
  return std::make_unique<TextReader>(std::move(window), path, options);
}

}  // namespace katman
