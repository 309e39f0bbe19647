// WARC 1.0 and 1.1 (ISO 28500), and what crawlers made of them.
#include <charconv>
#include <optional>

#include "core/error.h"
#include "data_pipeline/read/http.h"
#include "data_pipeline/read/reader.h"

namespace katman {
namespace {

constexpr std::string_view magic = "WARC/";

bool html_type(std::string_view type) {
  return type == "text/html" || type == "application/xhtml+xml" || type == "application/xhtml";
}

bool looks_like_html(std::string_view body) {
  const size_t start = body.find_first_not_of("\xef\xbb\xbf \t\r\n");
  return start != std::string_view::npos && body[start] == '<';
}

// wget writes <http://...>, as an older draft had it.
std::string target(std::string_view url) {
  if (url.size() >= 2 && url.front() == '<' && url.back() == '>')
    url = url.substr(1, url.size() - 2);
  return std::string(url.substr(0, max_url_bytes));
}

class WarcReader : public CountingReader {
 public:
  using CountingReader::CountingReader;

 private:
  bool find_next(Page& page) override {
    while (next_record())
      if (take_record(page)) return true;
    return false;
  }

  // Moves to the next "WARC/" that starts a line. Anything but line ends on the way is lost bytes:
  // they count as one bad record.
  bool next_record() {
    bool lost = false;  // bytes that no bad record before them accounts for
    const uint64_t from = window_.offset();
    while (!window_.at_end()) {
      std::string_view ahead = window_.peek(magic.size());
      if (ahead.starts_with(magic)) break;
      if (ahead[0] == '\n' || ahead[0] == '\r') {
        window_.consume(1);
        continue;
      }
      lost = !resyncing_;
      const size_t line_end = ahead.find('\n');
      window_.consume(line_end == std::string_view::npos ? ahead.size() : line_end + 1);
    }
    if (lost) skip("warc_unreadable", from, "bytes that are not a WARC record were passed over");
    resyncing_ = false;
    return !window_.at_end();
  }

  bool take_record(Page& page) {
    constexpr size_t max_header = size_t{64} << 10;
    const uint64_t offset = window_.offset();
    size_t want = size_t{4} << 10;
    HeaderBlock header;
    std::string_view ahead;
    do {
      ahead = window_.peek(want);
      header = parse_headers(ahead.substr(0, want));
      want *= 4;
    } while (!header.closed && ahead.size() * 4 >= want && want <= max_header);
    const std::string_view digits = header.find("content-length");
    uint64_t length = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (!header.closed || digits.empty() || parsed.ec != std::errc() ||
        parsed.ptr != digits.data() + digits.size()) {
      if (!header.closed && ahead.size() < max_header) truncated(offset);
      resyncing_ = true;
      skip("warc_bad_header", offset,
           fmt::format("a WARC record without a usable Content-Length (\"{}\")",
                       digits.substr(0, 40)));
      window_.consume(magic.size());  // and look for the next one from here
      return false;
    }
    const Kind kind = kind_of(header);
    page.url = target(header.find("warc-target-uri"));
    page.offset = offset;
    page.record = records() + 1;
    const MediaType identified = parse_media_type(header.find("warc-identified-payload-type"));
    const size_t header_end = header.end;
    if (length > options_.max_page_bytes) return pass_over(offset, header_end, length, kind);

    ahead = window_.peek(header_end + length + end_mark);
    const auto end = end_of_record(ahead, header_end + length);
    if (!end) return recover(ahead, offset, header_end, header_end + length);
    const bool taken = fill(page, kind, identified, ahead.substr(header_end, length));
    window_.consume(*end);
    return taken;
  }

  enum class Kind { response, conversion, other };
  static Kind kind_of(const HeaderBlock& header) {
    const std::string_view type = header.find("warc-type");
    if (same_word(type, "response")) return Kind::response;
    if (same_word(type, "conversion")) return Kind::conversion;
    return Kind::other;
  }

  // Room to see the two line ends behind a record and the start of the next.
  static constexpr size_t end_mark = 16;

  // Where the record that claims to end at `end` does so: line ends, then a record or nothing.
  std::optional<size_t> end_of_record(std::string_view ahead, size_t end) const {
    if (ahead.size() < end) return std::nullopt;
    while (end < ahead.size() && (ahead[end] == '\r' || ahead[end] == '\n')) ++end;
    const std::string_view rest = ahead.substr(end, magic.size());
    if (rest.empty() || rest == magic.substr(0, rest.size())) return end;
    return std::nullopt;
  }

  // The length was wrong. If another record starts in what it spans, reading goes on there.
  bool recover(std::string_view ahead, uint64_t offset, size_t header_end, size_t claimed_end) {
    const size_t next = ahead.find("\nWARC/1.", header_end);
    if (next == std::string_view::npos && ahead.size() < claimed_end) truncated(offset);
    resyncing_ = true;
    skip("warc_wrong_length", offset, "a WARC record whose Content-Length is wrong");
    window_.consume(next == std::string_view::npos ? header_end : next + 1);
    return false;
  }
  bool pass_over(uint64_t offset, size_t header_end, uint64_t length, Kind kind) {
    window_.consume(header_end);
    if (!discard(length)) truncated(offset);
    skip(kind == Kind::other ? "warc_other_record" : "page_too_large");
    return false;
  }
  [[noreturn]] void truncated(uint64_t offset) {
    window_.check();
    fail(
        "{} is truncated: the WARC record at byte {} runs past the end of the file, which is at {}",
        path_, offset, window_.offset() + window_.peek(1).size());
  }

  bool fill(Page& page, Kind kind, const MediaType& identified, std::string_view block) {
    if (kind == Kind::other) return skip("warc_other_record"), false;
    if (kind == Kind::conversion) {
      page.bytes = block;
      page.kind = PageKind::text;
      page.charset = "utf-8";
      return deliver(page), true;
    }
    HttpResponse response = parse_http(block, options_.max_page_bytes);
    if (response.status != 200) return skip("http_status_not_200"), false;
    if (response.bad) return skip(response.bad), false;
    const std::string& type = identified.type.empty() ? response.media.type : identified.type;
    const bool html = html_type(type) || (type.empty() && looks_like_html(response.body));
    if (!html && type != "text/plain") return skip("not_html_or_text"), false;
    if (response.body.empty()) return skip("empty_body"), false;
    if (page.url.ends_with("/robots.txt")) return skip("robots_txt"), false;
    if (response.odd) repaired(response.odd);
    page.bytes = std::move(response.body);
    page.kind = html ? PageKind::html : PageKind::text;
    page.charset = std::move(response.media.charset);
    return deliver(page), true;
  }

  bool resyncing_ = false;  // behind a bad record, looking for the next good one
};

}  // namespace

std::unique_ptr<PageReader> warc_reader(ByteWindow window, const std::string& path,
                                        const ReadOptions& options) {
  return std::make_unique<WarcReader>(std::move(window), path, options);
}

}  // namespace katman
