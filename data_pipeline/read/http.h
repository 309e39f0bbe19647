// The HTTP response that a WARC record carries, as servers really send it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace katman {

struct Header {
  std::string_view name, value;  // value without the white space around it
};

// The lines up to the first empty one, and where that ends. Lines end in CRLF or LF; a line that
// starts with a blank continues the one before, and is dropped; a line without a colon is ignored.
struct HeaderBlock {
  std::vector<Header> headers;
  size_t end = 0;       // of the block in the text, behind the empty line
  bool closed = false;  // the empty line was there
  // The value of the first header of that name (in any case), or empty.
  std::string_view find(std::string_view name) const;
};
HeaderBlock parse_headers(std::string_view text);

bool same_word(std::string_view a, std::string_view b);  // equal but for the case of ASCII letters

struct MediaType {
  std::string type;     // lower case, without parameters: "text/html"
  std::string charset;  // the parameter, without quotes, or empty
};
MediaType parse_media_type(std::string_view value);

struct HttpResponse {
  int status = 200;  // also for a response without a status line
  MediaType media;
  std::string_view location;
  std::string body;           // transfer and content encodings undone
  const char* bad = nullptr;  // why there is no body: the reason for skipping the record
  const char* odd = nullptr;  // what was wrong but could be worked around
};

// Takes apart a response. Headers may be missing altogether, lines may end in LF, a body may be
// announced as chunked and not be, or be cut off anywhere. Bodies longer than `max_body` after
// decoding are refused.
HttpResponse parse_http(std::string_view message, size_t max_body);

}  // namespace katman
