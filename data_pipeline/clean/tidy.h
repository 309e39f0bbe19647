// White space and control characters of finished text.
#pragma once

#include <string>
#include <string_view>

namespace katman {

// The text with LF line ends, no blanks at line ends, at most one empty line in a row and none at
// either end. Control characters other than \n and \t, soft hyphens and byte order marks are gone;
// no-break and other fixed-width spaces are plain ones; line and paragraph separators are line
// ends. Blanks inside lines stay (they mean something in code). Expects and returns valid UTF-8.
std::string tidy(std::string_view text);

}  // namespace katman
