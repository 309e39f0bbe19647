#include "data_pipeline/clean/charset.h"

#include <iconv.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <iterator>

#include "core/error.h"
#include "data_pipeline/clean/utf8.h"

namespace katman {
namespace {

struct Charset {
  const char* iconv;
  std::string_view labels;  // separated by spaces, with one at both ends
};

// https://encoding.spec.whatwg.org/#names-and-labels
constexpr Charset charsets[] = {
    {"UTF-8", " utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 "},
    {"CP1252",
     " windows-1252 cp1252 x-cp1252 iso-8859-1 iso8859-1 iso88591 iso_8859-1 latin1 latin-1 l1 "
     "iso_8859-1:1987 iso-ir-100 csisolatin1 cp819 ibm819 ascii us-ascii ansi_x3.4-1968 "},
    {"GB18030",
     " gb18030 gbk gb2312 gb_2312 gb_2312-80 x-gbk chinese csgb2312 csiso58gb231280 iso-ir-58 "},
    {"CP932", " shift_jis shift-jis sjis x-sjis ms_kanji ms932 windows-31j csshiftjis "},
    {"EUC-JP-MS", " euc-jp x-euc-jp cseucpkdfmtjapanese "},
    {"ISO-2022-JP", " iso-2022-jp csiso2022jp "},
    {"BIG5-HKSCS", " big5 big5-hkscs cn-big5 csbig5 x-x-big5 "},
    {"CP949",
     " euc-kr cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 "
     "ksc_5601 windows-949 "},
    {"CP1251", " windows-1251 cp1251 x-cp1251 "},
    {"KOI8-R", " koi8-r koi koi8 koi8_r cskoi8r "},
    {"KOI8-U", " koi8-u koi8-ru "},
    {"CP1250", " windows-1250 cp1250 x-cp1250 "},
    {"ISO-8859-2",
     " iso-8859-2 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 latin2 l2 csisolatin2 iso-ir-101 "},
    {"CP1254",
     " windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 "
     "latin5 "
     "l5 csisolatin5 iso-ir-148 "},
    {"CP1253", " windows-1253 cp1253 x-cp1253 "},
    {"CP1255", " windows-1255 cp1255 x-cp1255 "},
    {"CP1256", " windows-1256 cp1256 x-cp1256 "},
    {"CP1257", " windows-1257 cp1257 x-cp1257 "},
    {"CP1258", " windows-1258 cp1258 x-cp1258 "},
    {"CP874", " windows-874 cp874 dos-874 tis-620 iso-8859-11 iso8859-11 iso885911 "},
    {"ISO-8859-3", " iso-8859-3 iso8859-3 iso88593 iso_8859-3 latin3 l3 "},
    {"ISO-8859-4", " iso-8859-4 iso8859-4 iso88594 iso_8859-4 latin4 l4 "},
    {"ISO-8859-5", " iso-8859-5 iso8859-5 iso88595 iso_8859-5 cyrillic csisolatincyrillic "},
    {"ISO-8859-6",
     " iso-8859-6 iso8859-6 iso88596 iso_8859-6 arabic ecma-114 asmo-708 iso-8859-6-i "
     "iso-8859-6-e "},
    {"ISO-8859-7",
     " iso-8859-7 iso8859-7 iso88597 iso_8859-7 greek greek8 ecma-118 elot_928 sun_eu_greek "},
    {"ISO-8859-8",
     " iso-8859-8 iso8859-8 iso88598 iso_8859-8 hebrew visual iso-8859-8-i iso-8859-8-e logical "},
    {"ISO-8859-10", " iso-8859-10 iso8859-10 iso885910 latin6 l6 "},
    {"ISO-8859-13", " iso-8859-13 iso8859-13 iso885913 "},
    {"ISO-8859-14", " iso-8859-14 iso8859-14 iso885914 "},
    {"ISO-8859-15", " iso-8859-15 iso8859-15 iso885915 iso_8859-15 latin-9 l9 csisolatin9 "},
    {"ISO-8859-16", " iso-8859-16 iso8859-16 "},
    {"IBM866", " ibm866 cp866 866 csibm866 "},
    {"MACINTOSH", " macintosh mac x-mac-roman csmacintosh "},
    {"MAC-CYRILLIC", " x-mac-cyrillic x-mac-ukrainian "},
    {"UTF-16LE", " utf-16 utf-16le unicode ucs-2 iso-10646-ucs-2 csunicode unicodefeff "},
    {"UTF-16BE", " utf-16be unicodefffe "},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

// The value behind "charset" or "encoding" at `at`: optional blanks, =, optional quote, a label.
std::string_view value_at(std::string_view text, size_t at) {
  const auto skip_blanks = [&] {
    while (at < text.size() && blank(text[at])) ++at;
  };
  skip_blanks();
  if (at >= text.size() || text[at] != '=') return {};
  ++at;
  skip_blanks();
  if (at < text.size() && (text[at] == '"' || text[at] == '\'')) ++at;
  const size_t end = text.find_first_of("\"' \t\r\n;>/?", at);
  return end == std::string_view::npos ? std::string_view() : text.substr(at, end - at);
}

class Converter {
 public:
  explicit Converter(const char* from) : handle_(iconv_open("UTF-8", from)) {
    require(handle_ != reinterpret_cast<iconv_t>(-1),
            "this system's iconv has no converter from {}: install the package with its modules "
            "(Debian: libc6)",
            from);
  }
  ~Converter() { iconv_close(handle_); }
  Converter(const Converter&) = delete;
  Converter& operator=(const Converter&) = delete;

  std::string convert(std::string_view bytes) {
    std::string out(bytes.size() + bytes.size() / 2 + 64, '\0');
    char* in = const_cast<char*>(bytes.data());
    size_t in_left = bytes.size(), used = 0;
    while (true) {
      char* to = out.data() + used;
      size_t room = out.size() - used;
      const bool last = in_left == 0;  // gives out what the converter still holds
      const bool done =
          iconv(handle_, last ? nullptr : &in, &in_left, &to, &room) != static_cast<size_t>(-1);
      const int why = errno;
      used = static_cast<size_t>(to - out.data());
      if (done && last) break;
      if (room < 16 || (!done && why == E2BIG)) out.resize(2 * out.size());
      if (done || why == E2BIG) continue;
      out.replace(used, 3, "\xef\xbf\xbd");  // no room is lost: at least 16 bytes are left
      used += 3;
      if (why == EINVAL || in_left == 0) break;  // the input ends inside a character
      ++in, --in_left;
    }
    out.resize(used);
    return out;
  }

 private:
  iconv_t handle_;
};

std::string to_utf8(std::string_view bytes, const char* charset) {
  if (std::string_view(charset) == "UTF-8") return repair_utf8(bytes);
  return repair_utf8(Converter(charset).convert(bytes));
}

}  // namespace

const char* iconv_name(std::string_view label) {
  while (!label.empty() && blank(label.front())) label.remove_prefix(1);
  while (!label.empty() && blank(label.back())) label.remove_suffix(1);
  if (label.empty() || label.find(' ') != std::string_view::npos) return nullptr;
  std::string word(1, ' ');
  word.append(lowered(label)).append(1, ' ');
  for (const Charset& charset : charsets)
    if (charset.labels.find(word) != std::string_view::npos) return charset.iconv;
  return nullptr;
}

std::string_view declared_charset(std::string_view html) {
  html = html.substr(0, 1024);
  const std::string head = lowered(html);
  if (head.starts_with("<?xml")) {
    const size_t end = head.find("?>"), at = head.find("encoding");
    if (at < end) {
      const auto label = value_at(html, at + 8);
      if (!label.empty()) return label;
    }
  }
  for (size_t tag = head.find("<meta"); tag != std::string::npos;
       tag = head.find("<meta", tag + 5)) {
    const size_t end = head.find('>', tag), at = head.find("charset", tag);
    if (at >= end && end != std::string::npos) continue;
    if (at == std::string::npos) break;
    const auto label = value_at(html, at + 7);
    if (!label.empty()) return label;
  }
  return {};
}

std::string decode(std::string_view bytes, std::string_view label, bool html) {
  if (bytes.starts_with("\xef\xbb\xbf")) return repair_utf8(bytes.substr(3));
  if (bytes.starts_with("\xff\xfe")) return to_utf8(bytes.substr(2), "UTF-16LE");
  if (bytes.starts_with("\xfe\xff")) return to_utf8(bytes.substr(2), "UTF-16BE");
  const Utf8Census census = utf8_census(bytes);
  if (census.invalid == 0 && census.multibyte >= 4) return std::string(bytes);
  const char* charset = iconv_name(label);
  if (!charset && html) {
    charset = iconv_name(declared_charset(bytes));
    // A declaration in ASCII letters cannot be in UTF-16: the standard reads it as UTF-8.
    if (charset && std::string_view(charset).starts_with("UTF-16")) charset = "UTF-8";
  }
  if (!charset) charset = census.multibyte >= census.invalid ? "UTF-8" : "CP1252";
  if (census.invalid == 0 && std::string_view(charset) == "UTF-8") return std::string(bytes);
  return to_utf8(bytes, charset);
}

}  // namespace katman
