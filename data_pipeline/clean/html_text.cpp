#include "data_pipeline/clean/html_text.h"

#include <libxml/HTMLparser.h>

#include <memory>

#include "core/error.h"
#include "data_pipeline/clean/html_slim.h"
#include "data_pipeline/clean/main_text.h"

namespace katman {
namespace {

std::string_view view(const xmlChar* text) { return reinterpret_cast<const char*>(text); }

// What the parser's callbacks get as their context.
struct Parse {
  htmlParserCtxtPtr parser = nullptr;
  MainText text;
  bool too_deep = false;
};

void on_start(void* context, const xmlChar* name, const xmlChar** attributes) {
  auto& parse = *static_cast<Parse*>(context);
  if (parse.text.depth() >= max_html_depth) {
    parse.too_deep = true;
    xmlStopParser(parse.parser);
    return;
  }
  Role role = Role::none;
  bool href = false;
  for (; attributes && attributes[0]; attributes += 2) {
    const std::string_view key = view(attributes[0]);
    href = href || key == "href";
    role = std::max(role, role_of_attribute(key, attributes[1] ? view(attributes[1]) : ""));
  }
  parse.text.start(view(name), role, href);
}

void on_end(void* context, const xmlChar*) { static_cast<Parse*>(context)->text.end(); }

void on_characters(void* context, const xmlChar* text, int length) {
  const auto* start = reinterpret_cast<const char*>(text);
  static_cast<Parse*>(context)->text.characters({start, static_cast<size_t>(length)});
}

HtmlText parse_once(std::string_view slim, bool by_name, bool& misled) {
  Parse parse{nullptr, MainText(by_name)};
  const std::unique_ptr<htmlParserCtxt, decltype(&htmlFreeParserCtxt)> parser(
      htmlCreateMemoryParserCtxt(slim.data(), static_cast<int>(slim.size())), htmlFreeParserCtxt);
  require(parser != nullptr, "no memory to parse an HTML page of {} bytes", slim.size());
  htmlCtxtUseOptions(parser.get(), HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
                                       HTML_PARSE_NOIMPLIED | HTML_PARSE_IGNORE_ENC);
  htmlSAXHandler sax{};
  sax.startElement = on_start;
  sax.endElement = on_end;
  sax.characters = sax.ignorableWhitespace = sax.cdataBlock = on_characters;
  htmlSAXHandler* const own = parser->sax;
  parser->sax = &sax;
  parser->userData = &parse;
  parser->charset = XML_CHAR_ENCODING_UTF8;
  parse.parser = parser.get();
  htmlParseDocument(parser.get());
  parser->sax = own;
  misled = parse.text.misled();
  if (parse.too_deep) return {"", true};
  return {parse.text.finish(), false};
}

}  // namespace

HtmlText html_to_text(std::string_view utf8) {
  const std::string slim = slim_html(utf8);
  if (slim.empty()) return {};
  bool misled = false;
  HtmlText result = parse_once(slim, true, misled);
  if (misled) result = parse_once(slim, false, misled);
  return result;
}

}  // namespace katman
