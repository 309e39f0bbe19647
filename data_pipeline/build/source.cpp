#include "data_pipeline/build/source.h"

#include <fmt/format.h>

#include <algorithm>

#include "data_pipeline/clean/utf8.h"
#include "data_pipeline/corpus/sources.h"

namespace katman {
namespace {

constexpr std::string_view cut_mark = "…";

bool plain(char c) { return c >= ' ' && c <= '~'; }

// Controls (C0, C1), and what Unicode calls format characters: marks of direction, joiners, line
// and paragraph separators, the byte order mark, tags.
bool harmful(char32_t point) {
  const auto within = [point](char32_t low, char32_t high) {
    return low <= point && point <= high;
  };
  return point < 0x20 || within(0x7f, 0x9f) || point == 0xad || point == 0x61c ||
         within(0x200b, 0x200f) || within(0x2028, 0x202e) || within(0x2060, 0x206f) ||
         point == 0xfeff || within(0xfff9, 0xfffb) || within(0xe0000, 0xe007f);
}

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

std::string on_one_line(std::string_view raw) {
  if (raw.size() <= max_source_bytes && std::ranges::all_of(raw, plain)) return std::string(raw);
  // One byte more than there is room for shows that there is no room for all.
  const std::string text = repair_utf8(raw.substr(0, max_source_bytes + 1));
  std::string line;
  size_t fits = 0;  // of `line`, with the mark behind it
  for (size_t at = 0; at < text.size() && line.size() <= max_source_bytes;) {
    const size_t begin = at;
    const char32_t point = next_code_point(text, at);
    for (size_t i = begin; i < at; ++i) {
      if (harmful(point))
        line += fmt::format("%{:02X}", static_cast<unsigned char>(text[i]));
      else
        line += text[i];
    }
    if (line.size() + cut_mark.size() <= max_source_bytes) fits = line.size();
  }
  if (line.size() > max_source_bytes) line.replace(fits, std::string::npos, cut_mark);
  return line;
}

}  // namespace

std::string source_of(const Page& page, const std::string& file_name) {
  if (const auto address = without_blanks(page.url); !address.empty()) return on_one_line(address);
  if (page.record == 0) return on_one_line(file_name);
  return on_one_line(fmt::format("{}:{}", file_name, page.record));
}

}  // namespace katman
