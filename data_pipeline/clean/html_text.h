// The readable main text of an HTML page.
#pragma once

#include <string>
#include <string_view>

namespace katman {

// Elements may be nested this deep, as browsers allow; a page beyond it is not read further.
inline constexpr int max_html_depth = 512;

struct HtmlText {
  std::string text;       // lines and paragraphs, not yet tidied
  bool too_deep = false;  // and then there is no text
};

// Reads the page in one pass, without a tree: what an element contributed stands at the end of the
// output when it closes, so an element that turns out to be no content is cut off there.
//
// Left out: what is no text (scripts, forms' fields, pictures), what HTML or ARIA says is not
// content (nav, aside, hidden, role=navigation, ...), blocks that are mostly links, footers near
// the root, and small or link-heavy blocks whose class or id names them as something else. If
// exactly one element is announced as main content and holds a fair share of the text, that is all
// that is kept. The rules follow resiliparse's extraction (Bevendorff et al., 2018 on), with limits
// of our own.
//
// Paragraphs, headings, lists, tables and preformatted text are set apart by line ends: list items
// start with "- " or their number, cells of a row are separated by a tab. `utf8` must be valid
// UTF-8.
HtmlText html_to_text(std::string_view utf8);

}  // namespace katman
