#include "data_pipeline/clean/boilerplate.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>

namespace katman {
namespace {

constexpr size_t npos = std::string_view::npos;
constexpr std::string_view blanks = " \t\r\n\f";

// In the spirit of resiliparse's main-content rules (class and id patterns), as whole words: the
// last part of "site-nav" or the first of "navMain", not any place in "navigate" or "canvas".
constexpr std::string_view suspect_words[] = {
    "ad",          "ads",        "adsbygoogle", "advert",          "advertisement", "advertising",
    "banner",      "breadcrumb", "breadcrumbs", "captcha",         "consent",       "cookie",
    "cookies",     "copyright",  "crumb",       "crumbs",          "disclaimer",    "dropdown",
    "editsection", "facebook",   "feedback",    "flyout",          "footer",        "footnav",
    "gdpr",        "gutter",     "headerlink",  "hidden",          "instagram",     "invisible",
    "jump",        "jumplink",   "legal",       "linenos",         "linkedin",      "login",
    "mainnav",     "masthead",   "menu",        "menubar",         "modal",         "nav",
    "navbar",      "navbox",     "navfooter",   "navheader",       "navigation",    "navlinks",
    "newsletter",  "noprint",    "offcanvas",   "outbrain",        "overlay",       "pager",
    "pagination",  "paginator",  "permalink",   "pinterest",       "popup",         "printfooter",
    "promo",       "promotion",  "ratings",     "recommendations", "recommended",   "register",
    "related",     "respond",    "rss",         "searchbox",       "searchform",    "share",
    "sharedaddy",  "sharing",    "sidebar",     "signin",          "signup",        "skip",
    "skiplink",    "skiplinks",  "social",      "sponsor",         "sponsored",     "sphinxsidebar",
    "subfooter",   "submenu",    "subnav",      "subscribe",       "subscription",  "taboola",
    "tagcloud",    "toolbar",    "toolbox",     "toolbox",         "tooltip",       "topbar",
    "topnav",      "twitter",    "whatsapp",    "widget",          "widgets"};

// "has-sidebar" and "page-with-nav" speak about something else than the element itself.
constexpr std::string_view about_others[] = {"for",  "has",     "hide",   "is",     "js",
                                             "no",   "not",     "show",   "toggle", "uses",
                                             "with", "withnav", "without"};

constexpr std::string_view main_words[] = {"article-body", "articleBody",  "article-text",
                                           "contentBody",  "main-content", "post-content",
                                           "postcontent",  "single-post",  "entry-content"};

constexpr std::string_view foreign_roles[] = {
    "alert",     "alertdialog", "banner",  "button",   "complementary", "contentinfo",
    "dialog",    "menu",        "menubar", "menuitem", "navigation",    "search",
    "searchbox", "slider",      "tab",     "tablist",  "toolbar",       "tooltip"};

template <size_t n>
bool among(std::string_view word, const std::string_view (&words)[n]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

bool upper(char c) { return c >= 'A' && c <= 'Z'; }

template <class Visit>
void split(std::string_view text, std::string_view at, Visit visit) {
  for (size_t start = text.find_first_not_of(at); start != npos;) {
    const size_t end = std::min(text.find_first_of(at, start), text.size());
    visit(text.substr(start, end - start));
    start = text.find_first_not_of(at, end);
  }
}

// One class name or id: its first and last parts count, unless a part says that it is about others.
bool suspect_name(std::string_view name) {
  std::string part;
  bool first_part = true, first = false, last = false, others = false;
  const auto finish = [&] {
    if (part.empty()) return;
    last = among(part, suspect_words);
    if (std::exchange(first_part, false)) first = last;
    others = others || among(part, about_others);
    part.clear();
  };
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '-' || c == '_' || c == ':') {
      finish();
      continue;
    }
    if (upper(c) && i > 0 && !upper(name[i - 1])) finish();
    part += upper(c) ? static_cast<char>(c + 32) : c;
  }
  finish();
  return (first || last) && !others;
}

Role role_of_names(std::string_view value) {
  Role role = Role::none;
  split(value, blanks, [&](std::string_view name) {
    if (among(name, main_words))
      role = Role::main;
    else if (role == Role::none && suspect_name(name))
      role = Role::suspect;
  });
  return role;
}

// display:none and visibility:hidden, however they are spaced.
bool style_hides(std::string_view style) {
  std::string packed;
  for (const char c : style)
    if (blanks.find(c) == npos) packed += upper(c) ? static_cast<char>(c + 32) : c;
  return packed.find("display:none") != npos || packed.find("visibility:hidden") != npos;
}

}  // namespace

Role role_of_attribute(std::string_view name, std::string_view value) {
  if (name == "class" || name == "id") return role_of_names(value);
  if (name == "role") {
    if (value == "main") return Role::main;
    return among(value, foreign_roles) ? Role::invisible : Role::none;
  }
  if (name == "hidden") return Role::invisible;
  if (name == "aria-hidden") return value == "true" ? Role::invisible : Role::none;
  if (name == "style") return style_hides(value) ? Role::invisible : Role::none;
  return Role::none;
}

}  // namespace katman
