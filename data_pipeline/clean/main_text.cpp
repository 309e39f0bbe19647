#include "data_pipeline/clean/main_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace katman {
namespace {

bool blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'; }

// Line ends that an element wants before and after itself.
uint8_t gap_of(Tag tag) {
  switch (tag) {
    case Tag::line:
    case Tag::item:
    case Tag::row:
    case Tag::footer:
    case Tag::header:
    case Tag::main:
    case Tag::root:
      return 1;
    case Tag::block:
    case Tag::list:
    case Tag::numbered:
    case Tag::table:
    case Tag::pre:
    case Tag::heading:
      return 2;
    default:
      return 0;
  }
}

}  // namespace

void MainText::start(std::string_view name, Role role, bool has_href) {
  const Tag tag = tag_of(name);
  if (unread_ > 0 || tag == Tag::never || (role == Role::invisible && tag != Tag::root)) {
    ++unread_;
    return;
  }
  const bool judged = by_name_ && tag != Tag::root && tag != Tag::main && tag != Tag::heading;
  if (role == Role::suspect && !judged) role = Role::none;
  if (tag == Tag::main) role = Role::main;
  const bool link = tag == Tag::link && has_href;
  open_.push_back({tag, role, link, 0, gap_, out_.size(), text_, link_text_, links_});
  in_pre_ += tag == Tag::pre;
  in_link_ += link;
  links_ += link;
  in_main_ += role == Role::main;
  open_tag(tag);
}

void MainText::open_tag(Tag tag) {
  if (!fresh_) gap(gap_of(tag));
  if (tag == Tag::line_break)
    gap_ = in_pre_ ? static_cast<uint8_t>(std::min(gap_ + 1, 2)) : std::max<uint8_t>(gap_, 1);
  if (tag == Tag::cell) open_cell();
  if (tag != Tag::item) return;
  gap(1);
  tab_ = false;
  bullet_ = "- ";
  for (size_t i = open_.size() - 1; i-- > 0;) {
    if (open_[i].tag == Tag::numbered) bullet_ = fmt::format("{}. ", ++open_[i].items);
    if (open_[i].tag == Tag::numbered || open_[i].tag == Tag::list) break;
  }
  fresh_ = true;
}

// The second and later cells of a row that has text go on in its line.
void MainText::open_cell() {
  fresh_ = true;
  for (size_t i = open_.size() - 1; i-- > 0 && open_[i].tag != Tag::table;) {
    if (open_[i].tag != Tag::row) continue;
    if (out_.size() > open_[i].out) {
      gap_ = 0;
      tab_ = true;
    }
    return;
  }
}

void MainText::end() {
  if (unread_ > 0) {
    --unread_;
    return;
  }
  if (open_.empty()) return;
  const Open element = open_.back();
  open_.pop_back();
  in_pre_ -= element.tag == Tag::pre;
  in_link_ -= element.link;
  in_main_ -= element.role == Role::main;
  if (is_content(element)) {
    remember_main(element);
  } else {
    out_.resize(element.out);
    text_ = element.text;
    link_text_ = element.link_text;
    links_ = element.links;
    gap_ = element.gap;
    tab_ = false;
  }
  if (element.tag == Tag::item || element.tag == Tag::cell) {
    fresh_ = false;
    bullet_.clear();
  }
  gap(gap_of(element.tag));
}

void MainText::write_gap() {
  if (!out_.empty()) {
    if (gap_ > 0)
      out_.append(gap_, '\n');
    else if (tab_)
      out_ += '\t';
    else if (space_)
      out_ += ' ';
  }
  out_ += bullet_;
  bullet_.clear();
  gap_ = 0;
  tab_ = space_ = fresh_ = false;
}

void MainText::characters(std::string_view text) {
  if (unread_ > 0) return;
  const uint64_t before = text_;
  if (in_pre_ > 0 && !text.empty()) {
    if (gap_ > 0 && text.front() == '\n') text.remove_prefix(1);
    write_gap();
    out_ += text;
    text_ += static_cast<uint64_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !blank(c); }));
  } else {
    for (size_t at = 0; at < text.size();) {
      if (blank(text[at])) {
        space_ = true;
        ++at;
        continue;
      }
      const size_t start = at;
      while (at < text.size() && !blank(text[at])) ++at;
      write_gap();
      out_.append(text, start, at - start);
      text_ += at - start;
    }
  }
  if (in_link_ > 0) link_text_ += text_ - before;
}

// Limits: bytes without blanks, and the share of them that is in links.
bool MainText::is_content(const Open& element) {
  const uint64_t text = text_ - element.text, linked = link_text_ - element.link_text;
  const uint64_t links = links_ - element.links;
  if (text == 0) return true;
  const double share = static_cast<double>(linked) / static_cast<double>(text);
  const bool near_root = std::count_if(open_.begin(), open_.end(),
                                       [](const Open& o) { return o.tag != Tag::root; }) < 3;
  if (element.role == Role::suspect && (text < 2000 || share > 0.3)) {
    if (share < 0.3) cut_by_name_ += text;
    return false;
  }
  switch (element.tag) {
    case Tag::footer:
      return !near_root && share < 0.2;
    case Tag::header:
      return share < 0.4;
    case Tag::list:
    case Tag::numbered:
    case Tag::table:
    case Tag::row:
    case Tag::cell:
      return links < 2 || share < 0.7;
    case Tag::line:
      return links < 2 || share < (text < 1500 ? 0.6 : 0.8);
    case Tag::block:
      return links < 2 || share < 0.9;
    default:
      return true;
  }
}

void MainText::remember_main(const Open& element) {
  if (element.role != Role::main || in_main_ > 0 || element.text == text_) return;
  ++mains_;
  main_begin_ = element.out;
  main_end_ = out_.size();
  main_text_ = text_ - element.text;
}

std::string MainText::finish() {
  while (unread_ > 0 || !open_.empty()) end();
  const bool fair = main_text_ >= 500 || 2 * main_text_ >= text_;
  if (mains_ == 1 && fair && main_end_ <= out_.size())
    return out_.substr(main_begin_, main_end_ - main_begin_);
  return std::move(out_);
}

}  // namespace katman
