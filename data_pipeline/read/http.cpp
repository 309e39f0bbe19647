#include "data_pipeline/read/http.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>

namespace katman {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the first line off `text`, without its end.
std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// "HTTP/1.1 200 OK"; some archives have "HTTP/1.1  200", "HTTP/2 200" or no status at all.
int parse_status(std::string_view line) {
  const std::string_view rest = trim(line.substr(std::min(line.find(' '), line.size())));
  int status = 200;
  std::from_chars(rest.data(), rest.data() + rest.size(), status);
  return status;
}

// RFC 9112, 7.1. False when the body is not chunked after all; a body that ends early gives what
// is there, with `whole` false.
bool join_chunks(std::string_view body, std::string& out, bool& whole) {
  whole = false;
  bool any = false;
  while (!body.empty()) {
    std::string_view rest = body;
    const std::string_view line = take_line(rest);
    uint64_t size = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), size, 16);
    const bool clean = parsed.ec == std::errc() &&
                       (parsed.ptr == line.data() + line.size() || *parsed.ptr == ';' ||
                        *parsed.ptr == ' ' || *parsed.ptr == '\t');
    if (!clean) return any;
    if (size == 0) return whole = true;
    any = true;
    out.append(rest.substr(0, size));
    if (size > rest.size()) return true;
    rest.remove_prefix(size);
    if (rest.starts_with("\r\n"))
      rest.remove_prefix(2);
    else if (rest.starts_with("\n"))
      rest.remove_prefix(1);
    body = rest;
  }
  return any;
}

enum class Inflated { whole, cut, too_large, not_compressed };

// `window_bits`: 15 + 32 reads gzip and zlib by their heads, -15 a bare deflate stream.
Inflated inflate_body(std::string_view body, int window_bits, size_t max_body, std::string& out) {
  z_stream stream{};
  if (inflateInit2(&stream, window_bits) != Z_OK) return Inflated::not_compressed;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  int result = Z_OK;
  out.clear();
  while (result == Z_OK && out.size() <= max_body) {
    const size_t had = out.size();
    out.resize(std::min(max_body + 1, std::max(2 * had, 4 * body.size() + 1024)));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    stream.avail_out = static_cast<uInt>(out.size() - had);
    result = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (out.size() > max_body) return Inflated::too_large;
  if (result == Z_STREAM_END) return Inflated::whole;
  return out.empty() ? Inflated::not_compressed : Inflated::cut;
}

void decode_content(HttpResponse& response, std::string_view encoding, size_t max_body) {
  if (encoding.empty() || same_word(encoding, "identity") || same_word(encoding, "none")) return;
  const bool gzip = same_word(encoding, "gzip") || same_word(encoding, "x-gzip");
  const bool deflate = same_word(encoding, "deflate");
  if (!gzip && !deflate) {
    // Some servers write a charset here; some crawlers decode and leave the header as it was.
    const std::string_view start = trim(response.body);
    if (start.starts_with("<"))
      response.odd = "content_encoding_ignored";
    else
      response.bad = "content_encoding";
    return;
  }
  std::string plain;
  Inflated how = inflate_body(response.body, 15 + 32, max_body, plain);
  if (how == Inflated::not_compressed && deflate)
    how = inflate_body(response.body, -15, max_body, plain);
  switch (how) {
    case Inflated::too_large:
      response.bad = "page_too_large";
      return;
    case Inflated::not_compressed:
      response.odd = "content_encoding_ignored";
      return;
    case Inflated::cut:
      response.odd = "body_cut_short";
      break;
    case Inflated::whole:
      break;
  }
  response.body = std::move(plain);
}

}  // namespace

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view HeaderBlock::find(std::string_view name) const {
  for (const Header& header : headers)
    if (same_word(header.name, name)) return header.value;
  return {};
}

HeaderBlock parse_headers(std::string_view text) {
  HeaderBlock block;
  std::string_view rest = text;
  while (!rest.empty() && !block.closed) {
    const std::string_view line = take_line(rest);
    const size_t colon = line.find(':');
    block.closed = line.empty();
    if (line.empty() || blank(line.front()) || colon == std::string_view::npos) continue;
    block.headers.push_back({trim(line.substr(0, colon)), trim(line.substr(colon + 1))});
  }
  block.end = text.size() - rest.size();
  return block;
}

MediaType parse_media_type(std::string_view value) {
  MediaType media;
  const size_t end = std::min(value.find(';'), value.size());
  for (const char c : trim(value.substr(0, end))) media.type += lower(c);
  for (std::string_view rest = value.substr(end); !rest.empty();) {
    rest.remove_prefix(1);
    const size_t next = std::min(rest.find(';'), rest.size());
    const std::string_view parameter = rest.substr(0, next);
    const size_t equals = parameter.find('=');
    if (equals != std::string_view::npos &&
        same_word(trim(parameter.substr(0, equals)), "charset")) {
      std::string_view label = trim(parameter.substr(equals + 1));
      while (!label.empty() && (label.front() == '"' || label.front() == '\''))
        label.remove_prefix(1);
      media.charset = label.substr(0, label.find_first_of("\"' ,"));
      return media;
    }
    rest.remove_prefix(next);
  }
  return media;
}

HttpResponse parse_http(std::string_view message, size_t max_body) {
  HttpResponse response;
  std::string_view rest = message;
  if (rest.starts_with("HTTP/")) {
    response.status = parse_status(take_line(rest));
  } else {
    response.odd = "no_http_status_line";
    // Without a status line and without a header in the first line, all of it is the body.
    std::string_view peek = rest;
    const std::string_view first = take_line(peek);
    const size_t colon = first.find(':');
    const bool header =
        colon != std::string_view::npos && colon > 0 && first.find_first_of(" \t<\"") > colon;
    if (!header) {
      response.body = rest;
      return response;
    }
  }
  const HeaderBlock block = parse_headers(rest);
  rest.remove_prefix(block.end);
  response.media = parse_media_type(block.find("content-type"));
  response.location = block.find("location");
  if (rest.size() > max_body) {
    response.bad = "page_too_large";
    return response;
  }
  bool whole = true;
  const std::string_view transfer = block.find("transfer-encoding");
  if (transfer.size() >= 7 && same_word(transfer.substr(transfer.size() - 7), "chunked")) {
    // Crawlers often store the joined body and keep the header.
    if (!join_chunks(rest, response.body, whole)) {
      response.body = rest;
      whole = true;
      response.odd = "not_chunked_after_all";
    }
  } else {
    response.body = rest;
  }
  if (!whole) response.odd = "body_cut_short";
  decode_content(response, block.find("content-encoding"), max_body);
  return response;
}

}  // namespace katman
