#include "data_pipeline/clean/clean.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "data_pipeline/clean/charset.h"
#include "data_pipeline/clean/html_text.h"
#include "data_pipeline/clean/rules.h"
#include "data_pipeline/clean/tidy.h"

namespace katman {
namespace {

// Reasons that are known before there is text to measure.
constexpr const char* too_deep = "html_too_deep";
constexpr const char* no_text = "no_text";

void set_rules(std::vector<bool>& on, const std::vector<std::string>& names, bool value) {
  for (const std::string& name : names) {
    const auto all = rules();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Rule& r) { return r.name == name; });
    require_usage(found != all.end(), "there is no rule called \"{}\" that can be switched", name);
    on[static_cast<size_t>(found - all.begin())] = value;
  }
}

}  // namespace

Cleaner::Cleaner(const CleanOptions& options) {
  for (const Rule& rule : rules()) on_.push_back(rule.by_default);
  set_rules(on_, options.enable, true);
  set_rules(on_, options.disable, false);
}

Cleaned Cleaner::operator()(const Page& page) const {
  const bool html = page.kind == PageKind::html;
  std::string text = decode(page.bytes, page.charset, html);
  if (html) {
    HtmlText main = html_to_text(text);
    if (main.too_deep) return {"", too_deep};
    text = std::move(main.text);
  }
  text = tidy(text);
  if (text.empty()) return {"", no_text};
  const Measures measures = measure(text);
  for (size_t i = 0; i < on_.size(); ++i)
    if (on_[i] && rules()[i].drops(measures)) return {std::move(text), rules()[i].name};
  return {std::move(text), nullptr};
}

std::vector<const char*> rule_names() {
  std::vector<const char*> names = {too_deep, no_text};
  for (const Rule& rule : rules()) names.push_back(rule.name);
  return names;
}

}  // namespace katman
