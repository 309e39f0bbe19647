#include "data_pipeline/clean/tidy.h"

#include <cstdint>

#include "data_pipeline/clean/utf8.h"

namespace katman {
namespace {

enum class As { itself, nothing, space, line_end };

As meaning(char32_t point) {
  if (point < 0x20) return point == '\t' ? As::itself : point == '\n' ? As::line_end : As::nothing;
  if (point < 0x7f) return As::itself;
  if (point < 0xa0) return point == 0x85 ? As::line_end : As::nothing;
  if (point == 0xa0 || point == 0x3000 || point == 0x202f || point == 0x205f || point == 0x1680 ||
      (point >= 0x2000 && point <= 0x200a))
    return As::space;
  if (point == 0x2028 || point == 0x2029) return As::line_end;
  if (point == 0xad || point == 0xfeff) return As::nothing;
  return As::itself;
}

class Writer {
 public:
  explicit Writer(size_t size) { out_.reserve(size); }

  void visible(std::string_view bytes) {
    if (line_ends_ > 0 && !out_.empty()) out_.append(line_ends_ > 1 ? 2 : 1, '\n');
    line_ends_ = 0;
    out_ += blanks_;
    blanks_.clear();
    out_ += bytes;
  }
  void blank(char c) { blanks_ += c; }
  void line_end() {
    ++line_ends_;
    blanks_.clear();
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_, blanks_;  // blanks_ are written when something visible follows on the line
  uint64_t line_ends_ = 0;
};

bool plain(char c) { return c > 0x20 && c < 0x7f; }

}  // namespace

std::string tidy(std::string_view text) {
  Writer writer(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    while (at < text.size() && plain(text[at])) ++at;
    if (at > start) {
      writer.visible(text.substr(start, at - start));
      continue;
    }
    const char32_t point = next_code_point(text, at);
    if (point == '\r') {
      if (at < text.size() && text[at] == '\n') ++at;
      writer.line_end();
      continue;
    }
    switch (meaning(point)) {
      case As::nothing:
        break;
      case As::space:
        writer.blank(' ');
        break;
      case As::line_end:
        writer.line_end();
        break;
      case As::itself:
        if (point == ' ' || point == '\t')
          writer.blank(static_cast<char>(point));
        else
          writer.visible(text.substr(start, at - start));
    }
  }
  return writer.take();
}

}  // namespace katman
