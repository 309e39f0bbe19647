#include "tests/support/pages.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>

#include "core/error.h"
#include "core/random.h"

namespace katman::testing {
namespace {

constexpr std::array words = {
    "the",    "of",     "and",   "to",     "with",  "that",     "have",   "was",    "river",
    "model",  "window", "light", "garden", "paper", "mountain", "people", "answer", "school",
    "winter", "number", "music", "letter", "house", "morning",  "travel", "simple", "engine",
    "bridge", "silver", "field", "story",  "water", "between",  "under",  "before", "language"};

std::string sentence(Key key, uint64_t& at) {
  const uint64_t length = 8 + random_bits(key, at++) % 8;
  std::string text;
  for (uint64_t i = 0; i < length; ++i) {
    std::string word = words[random_bits(key, at++) % words.size()];
    if (i == 0) word[0] = static_cast<char>(word[0] - 'a' + 'A');
    if (i > 0) text += ' ';
    text += word;
  }
  return text + ".";
}

template <class Visit>
void for_each_paragraph(uint64_t number, int paragraphs, const Visit& visit) {
  const Key key = Key(number).at("prose");
  uint64_t at = 0;
  for (int p = 0; p < paragraphs; ++p) {
    std::string text = sentence(key, at);
    while (text.size() < 400) text += " " + sentence(key, at);
    visit(text);
  }
}

}  // namespace

std::string prose(uint64_t number, int paragraphs) {
  std::string text;
  for_each_paragraph(number, paragraphs, [&](const std::string& p) { text += p + "\n\n"; });
  return text;
}

std::string web_page(uint64_t number, int paragraphs) {
  std::string html = fmt::format(
      "<!DOCTYPE html><html><head><title>Page {}</title><script>var x = 1;</script></head><body>"
      "<nav><a href='/'>Home</a> <a href='/all'>All pages</a></nav><main><h1>Page {}</h1>\n",
      number, number);
  for_each_paragraph(number, paragraphs,
                     [&](const std::string& p) { html += "<p>" + p + "</p>\n"; });
  return html + "</main></body></html>";
}

std::string warc_response(std::string_view url, std::string_view body,
                          std::string_view content_type) {
  const std::string http =
      fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
                  content_type, body.size(), body);
  return fmt::format(
      "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {}\r\n"
      "WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000000>\r\n"
      "WARC-Date: 2024-01-01T00:00:00Z\r\nContent-Type: application/http;msgtype=response\r\n"
      "Content-Length: {}\r\n\r\n{}\r\n\r\n",
      url, http.size(), http);
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int gzip_header = 16;
  require(
      deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + gzip_header, 8, Z_DEFAULT_STRATEGY) == Z_OK,
      "zlib does not start");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib does not end");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace katman::testing
