#include "data_pipeline/clean/html_slim.h"

#include <algorithm>
#include <array>
#include <utility>

namespace katman {
namespace {

constexpr size_t npos = std::string_view::npos;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
bool blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'; }

// `word` is lower case.
bool is(std::string_view text, std::string_view word) {
  return text.size() == word.size() && std::equal(text.begin(), text.end(), word.begin(),
                                                  [](char a, char b) { return lower(a) == b; });
}

template <size_t n>
bool any(std::string_view text, const std::array<std::string_view, n>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return is(text, word); });
}

// Elements whose content is not markup and not wanted.
constexpr std::array<std::string_view, 6> raw = {"script",   "style",   "iframe",
                                                 "textarea", "noembed", "noframes"};
constexpr std::array<std::string_view, 6> kept = {"class", "id",     "role",
                                                  "style", "hidden", "aria-hidden"};

class Slimmer {
 public:
  explicit Slimmer(std::string_view html) : in_(html) { out_.reserve(html.size()); }

  std::string run() {
    while (at_ < in_.size()) {
      const size_t open = std::min(in_.find('<', at_), in_.size());
      out_.append(in_, at_, open - at_);
      at_ = open;
      if (at_ < in_.size()) markup();
    }
    return std::move(out_);
  }

 private:
  char peek(size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  void skip_to(size_t place) { at_ = std::min(place, in_.size()); }
  void skip_behind(std::string_view mark) {
    const size_t found = in_.find(mark, at_);
    skip_to(found == npos ? npos : found + mark.size());
  }

  void markup() {
    if (letter(peek(1))) return start_tag();
    if (peek(1) == '/' && letter(peek(2))) return end_tag();
    if (in_.substr(at_, 4) == "<!--") return comment();
    if (peek(1) == '!' || peek(1) == '?' || peek(1) == '/') return skip_behind(">");
    out_ += "&lt;";
    ++at_;
  }
  void comment() {
    at_ += 4;
    if (peek(0) == '>') return skip_to(at_ + 1);
    if (peek(0) == '-' && peek(1) == '>') return skip_to(at_ + 2);
    skip_behind("-->");
  }
  void end_tag() {
    at_ += 2;
    out_ += "</";
    out_ += name();
    out_ += '>';
    skip_behind(">");
  }

  std::string_view name() {
    const size_t start = at_;
    while (at_ < in_.size() && !blank(in_[at_]) && in_[at_] != '/' && in_[at_] != '>') ++at_;
    return in_.substr(start, at_ - start);
  }

  void start_tag() {
    const size_t before = out_.size();
    ++at_;
    const std::string_view tag = name();
    out_ += '<';
    out_ += tag;
    const bool closed = attributes();
    out_ += closed ? "/>" : ">";
    if (!any(tag, raw)) return;
    out_.resize(before);
    if (!closed) skip_raw(tag);
  }

  // Moves behind the end of the tag; true if that was "/>".
  bool attributes() {
    std::array<bool, kept.size() + 1> seen{};
    bool slash = false;
    while (at_ < in_.size() && in_[at_] != '>') {
      const char c = in_[at_];
      if (blank(c) || c == '/') {
        slash = c == '/';
        ++at_;
        continue;
      }
      slash = false;
      attribute(seen);
    }
    skip_to(at_ + 1);
    return slash;
  }

  void attribute(std::array<bool, kept.size() + 1>& seen) {
    const size_t start = at_++;
    while (at_ < in_.size() && !blank(in_[at_]) && in_[at_] != '/' && in_[at_] != '>' &&
           in_[at_] != '=')
      ++at_;
    const std::string_view name = in_.substr(start, at_ - start);
    const std::string_view value = attribute_value();
    if (is(name, "href")) {
      if (!std::exchange(seen.back(), true)) out_ += " href";
      return;
    }
    for (size_t i = 0; i < kept.size(); ++i)
      if (is(name, kept[i]) && !std::exchange(seen[i], true)) write(kept[i], value);
  }
  void write(std::string_view name, std::string_view value) {
    constexpr size_t longest = 1024;  // class lists can be absurd; their start says enough
    ((out_ += ' ') += name) += "=\"";
    for (const char c : value.substr(0, longest))
      out_ += c == '"' || c == '<' || c == '&' || static_cast<unsigned char>(c) >= 0x80 ? ' ' : c;
    out_ += '"';
  }
  std::string_view attribute_value() {
    size_t look = at_;
    while (look < in_.size() && blank(in_[look])) ++look;
    if (look >= in_.size() || in_[look] != '=') return {};
    at_ = look + 1;
    while (at_ < in_.size() && blank(in_[at_])) ++at_;
    const char quote = peek(0);
    if (quote == '"' || quote == '\'') {
      const size_t start = at_ + 1, end = std::min(in_.find(quote, start), in_.size());
      skip_to(end + 1);
      return in_.substr(std::min(start, in_.size()), end - start);
    }
    const size_t start = at_;
    while (at_ < in_.size() && !blank(in_[at_]) && in_[at_] != '>') ++at_;
    return in_.substr(start, at_ - start);
  }

  // To behind </tag>, or to the end.
  void skip_raw(std::string_view tag) {
    while (at_ < in_.size()) {
      skip_behind("</");
      const std::string_view found = in_.substr(at_, tag.size());
      const char after = peek(tag.size());
      const bool same = found.size() == tag.size() &&
                        std::equal(found.begin(), found.end(), tag.begin(),
                                   [](char a, char b) { return lower(a) == lower(b); });
      if (same && (blank(after) || after == '/' || after == '>')) return skip_behind(">");
    }
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string slim_html(std::string_view html) {
  std::string out = Slimmer(html).run();
  std::erase(out, '\0');
  return out;
}

}  // namespace katman
