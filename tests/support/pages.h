// Small raw inputs, made on the spot: web pages, WARC records, gzip members.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace katman::testing {

// Some paragraphs of English-looking prose that the cleaning rules keep; another number, another
// text. `paragraphs` of about 400 bytes each.
std::string prose(uint64_t number, int paragraphs = 4);

// A web page around prose(number): title, navigation, script, paragraphs.
std::string web_page(uint64_t number, int paragraphs = 4);

// A WARC/1.0 response record holding an HTTP response with `body`.
std::string warc_response(std::string_view url, std::string_view body,
                          std::string_view content_type = "text/html; charset=utf-8");

// One gzip member.
std::string gzip(std::string_view bytes);

}  // namespace katman::testing
