#include "data_pipeline/clean/html_tags.h"

#include <algorithm>
#include <iterator>

namespace katman {
namespace {

struct Entry {
  std::string_view name;
  Tag tag;
};

// Sorted by name.
constexpr Entry entries[] = {
    {"a", Tag::link},           {"address", Tag::line},   {"applet", Tag::never},
    {"article", Tag::root},     {"aside", Tag::never},    {"audio", Tag::never},
    {"blockquote", Tag::block}, {"body", Tag::root},      {"br", Tag::line_break},
    {"button", Tag::never},     {"canvas", Tag::never},   {"caption", Tag::block},
    {"center", Tag::line},      {"datalist", Tag::never}, {"dd", Tag::line},
    {"details", Tag::block},    {"dialog", Tag::never},   {"dir", Tag::list},
    {"div", Tag::line},         {"dl", Tag::list},        {"dt", Tag::line},
    {"embed", Tag::never},      {"fieldset", Tag::block}, {"figcaption", Tag::block},
    {"figure", Tag::block},     {"footer", Tag::footer},  {"form", Tag::line},
    {"frame", Tag::never},      {"frameset", Tag::never}, {"h1", Tag::heading},
    {"h2", Tag::heading},       {"h3", Tag::heading},     {"h4", Tag::heading},
    {"h5", Tag::heading},       {"h6", Tag::heading},     {"header", Tag::header},
    {"hgroup", Tag::block},     {"hr", Tag::block},       {"html", Tag::root},
    {"iframe", Tag::never},     {"input", Tag::never},    {"legend", Tag::line},
    {"li", Tag::item},          {"listing", Tag::pre},    {"main", Tag::main},
    {"map", Tag::never},        {"menu", Tag::list},      {"meter", Tag::never},
    {"nav", Tag::never},        {"noframes", Tag::never}, {"noscript", Tag::never},
    {"object", Tag::never},     {"ol", Tag::numbered},    {"optgroup", Tag::never},
    {"option", Tag::never},     {"p", Tag::block},        {"pre", Tag::pre},
    {"progress", Tag::never},   {"rp", Tag::never},       {"rt", Tag::never},
    {"script", Tag::never},     {"section", Tag::line},   {"select", Tag::never},
    {"style", Tag::never},      {"summary", Tag::line},   {"svg", Tag::never},
    {"table", Tag::table},      {"tbody", Tag::line},     {"td", Tag::cell},
    {"template", Tag::never},   {"textarea", Tag::never}, {"tfoot", Tag::line},
    {"th", Tag::cell},          {"thead", Tag::line},     {"title", Tag::never},
    {"tr", Tag::row},           {"ul", Tag::list},        {"video", Tag::never},
    {"xmp", Tag::pre},
};
static_assert(std::is_sorted(std::begin(entries), std::end(entries),
                             [](const Entry& a, const Entry& b) { return a.name < b.name; }));

}  // namespace

Tag tag_of(std::string_view name) {
  const auto* found =
      std::lower_bound(std::begin(entries), std::end(entries), name,
                       [](const Entry& a, std::string_view b) { return a.name < b; });
  return found != std::end(entries) && found->name == name ? found->tag : Tag::inline_;
}

}  // namespace katman
