// Which character set a page is in, and its text as UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace katman {

// What the label means according to the WHATWG Encoding standard (in which "latin1" is windows-1252
// and "gbk" is decoded as gb18030), as a name that iconv knows; nullptr for an unknown label.
const char* iconv_name(std::string_view label);

// The label that HTML declares for itself in its first 1024 bytes: <meta charset=...>, the content
// of <meta http-equiv>, or an XML declaration. Empty if there is none.
std::string_view declared_charset(std::string_view html);

// Decodes to valid UTF-8; what cannot be decoded becomes U+FFFD, a byte order mark is dropped.
//
// In order: a byte order mark; bytes that are UTF-8 beyond doubt (several multibyte sequences, none
// wrong), whatever was declared; `label` (from HTTP); for HTML its own declaration; else UTF-8 if
// more multibyte sequences are right than wrong; else windows-1252.
std::string decode(std::string_view bytes, std::string_view label, bool html);

}  // namespace katman
