#include "data_pipeline/read/json_line.h"

#include <vector>

#include "data_pipeline/clean/utf8.h"

namespace katman {
namespace {

class Scanner {
 public:
  Scanner(std::string_view line, JsonLine& verdict) : line_(line), verdict_(verdict) {}

  // Below, false means that verdict_.error is set.
  bool object(std::span<JsonField> wanted) {
    if (!expect('{', "it does not start with {")) return false;
    blanks();
    if (take('}')) return ended();
    do {
      std::string name;
      blanks();
      if (!string(&name)) return false;
      blanks();
      if (!expect(':', "a name is not followed by a colon")) return false;
      blanks();
      JsonField* field = nullptr;
      for (JsonField& one : wanted)
        if (one.name == name) field = &one;
      if (field) field->found = at_ < line_.size() && line_[at_] == '"';
      if (field && field->found) {
        field->value.clear();
        if (!string(&field->value)) return false;
      } else if (!value()) {
        return false;
      }
      blanks();
    } while (take(','));
    return expect('}', "it ends before its last }") && ended();
  }

 private:
  bool wrong(const char* why) { return verdict_.error = why, false; }
  bool take(char c) { return at_ < line_.size() && line_[at_] == c && (++at_, true); }
  bool expect(char c, const char* why) {
    blanks();
    return take(c) || wrong(why);
  }
  void blanks() {
    while (at_ < line_.size() &&
           (line_[at_] == ' ' || line_[at_] == '\t' || line_[at_] == '\r' || line_[at_] == '\n'))
      ++at_;
  }
  bool ended() {
    blanks();
    return at_ == line_.size() || wrong("there is more behind its last }");
  }

  // A value of any kind, passed over; open_ holds the brackets not yet closed.
  bool value() {
    constexpr size_t deepest = 512;
    open_.clear();
    while (true) {
      blanks();
      if (at_ == line_.size()) return wrong("it ends inside a value");
      const char c = line_[at_];
      if (c == '{' || c == '[') {
        ++at_;
        if (open_.size() == deepest) return wrong("it is nested more than 512 deep");
        open_.push_back(c == '{' ? '}' : ']');
        blanks();
        if (take(open_.back()))
          open_.pop_back();
        else if (c == '{' && !key())
          return false;
        else
          continue;
      } else if (c == '"' ? !string(nullptr) : !bare()) {
        return false;
      }
      // Behind a value: close what closes, and stop outside the outermost bracket.
      while (true) {
        if (open_.empty()) return true;
        blanks();
        if (!take(open_.back())) break;
        open_.pop_back();
      }
      if (!expect(',', "values are not separated by a comma")) return false;
      if (open_.back() == '}' && !key()) return false;
    }
  }
  bool key() {
    blanks();
    return string(nullptr) && expect(':', "a name is not followed by a colon");
  }
  // true, false, null or a number; digits are not checked further, they are not looked at.
  bool bare() {
    const size_t end = line_.find_first_not_of("0123456789+-.eEtrufalsn", at_);
    const std::string_view word =
        line_.substr(at_, (end == std::string_view::npos ? line_.size() : end) - at_);
    at_ += word.size();
    const bool number = word.find_first_of("0123456789") != std::string_view::npos &&
                        word.find_first_of("trufalsn") == std::string_view::npos;
    return number || word == "true" || word == "false" || word == "null" ||
           wrong("a value is none of those that JSON has");
  }

  bool string(std::string* out) {
    if (!take('"')) return wrong("a string does not start with a quote");
    while (true) {
      size_t plain = at_;
      while (plain < line_.size() && line_[plain] != '"' && line_[plain] != '\\') ++plain;
      if (plain == line_.size()) return wrong("a string does not end");
      if (out) out->append(line_, at_, plain - at_);
      at_ = plain + 1;
      if (line_[plain] == '"') return true;
      if (!escape(out)) return false;
    }
  }
  bool escape(std::string* out) {
    if (at_ == line_.size()) return wrong("a string does not end");
    const char c = line_[at_++];
    if (c == 'u') return unicode(out);
    constexpr std::string_view names = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    const size_t which = names.find(c);
    if (which == std::string_view::npos) return wrong("a string has an escape that JSON has not");
    if (out) *out += meant[which];
    return true;
  }
  bool unicode(std::string* out) {
    char32_t point = 0, partner = 0;
    if (!four_digits(point)) return wrong("a \\u is not followed by four hexadecimal digits");
    if (point >= 0xd800 && point < 0xdc00 && line_.substr(at_, 2) == "\\u") {
      const size_t back = at_;
      at_ += 2;
      if (!four_digits(partner)) return wrong("a \\u is not followed by four hexadecimal digits");
      if (partner >= 0xdc00 && partner < 0xe000)
        point = 0x10000 + ((point - 0xd800) << 10) + (partner - 0xdc00);
      else
        at_ = back;
    }
    if (point >= 0xd800 && point < 0xe000) {
      point = replacement_character;
      if (out) verdict_.lone_surrogate = true;
    }
    if (out) append_utf8(*out, point);
    return true;
  }
  bool four_digits(char32_t& point) {
    if (line_.size() - at_ < 4) return false;
    point = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = line_[at_++];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return false;
      point = point << 4 | static_cast<char32_t>(digit);
    }
    return true;
  }

  std::string_view line_;
  JsonLine& verdict_;
  size_t at_ = 0;
  std::vector<char> open_;
};

}  // namespace

JsonLine read_json_fields(std::string_view line, std::span<JsonField> wanted) {
  JsonLine verdict;
  for (JsonField& field : wanted) field.found = false;
  Scanner(line, verdict).object(wanted);
  return verdict;
}

}  // namespace katman
