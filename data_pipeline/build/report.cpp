#include "data_pipeline/build/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace katman {
namespace {

constexpr size_t most_issues = 100;

double ratio(uint64_t part, uint64_t whole) {
  return whole ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string row(const std::string& what, uint64_t count, uint64_t of) {
  return fmt::format("  {:<34}{:>14}{:>8.1f} %\n", what, count, 100 * ratio(count, of));
}

uint64_t sum(const std::map<std::string, uint64_t>& counts) {
  uint64_t sum = 0;
  for (const auto& [reason, count] : counts) sum += count;
  return sum;
}

// The most frequent reason first.
std::vector<std::pair<std::string, uint64_t>> by_count(const std::map<std::string, uint64_t>& of) {
  std::vector<std::pair<std::string, uint64_t>> sorted(of.begin(), of.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

}  // namespace

Ledger& Ledger::operator+=(const Ledger& other) {
  files += other.files;
  file_bytes += other.file_bytes;
  page_bytes += other.page_bytes;
  records += other.records;
  clean_bytes += other.clean_bytes;
  pages += other.pages;
  kept += other.kept;
  for (const auto& [reason, count] : other.skipped) skipped[reason] += count;
  for (const auto& [reason, count] : other.dropped) dropped[reason] += count;
  for (const auto& [reason, count] : other.repaired) repaired[reason] += count;
  for (const auto& issue : other.issues)
    if (issues.size() < most_issues) issues.push_back(issue);
  return *this;
}

void Ledger::check() const {
  require(records == pages + sum(skipped) && pages == kept + sum(dropped),
          "the books do not balance: of {} records {} were skipped and {} were pages, of which {} "
          "were kept and {} dropped",
          records, sum(skipped), pages, kept, sum(dropped));
}

std::string report_table(const Ledger& ledger, const Manifest& manifest) {
  std::string table = fmt::format("input   {} files, {:.1f} MB on disk, {:.1f} MB of pages\n",
                                  ledger.files, static_cast<double>(ledger.file_bytes) / 1e6,
                                  static_cast<double>(ledger.page_bytes) / 1e6);
  table += fmt::format("  {:<34}{:>14}\n", "records", ledger.records);
  for (const auto& [reason, count] : by_count(ledger.skipped))
    table += fmt::format("  {:<34}{:>14}\n", "  no page: " + reason, count);
  table += row("pages", ledger.pages, ledger.pages);
  table += row("  kept", ledger.kept, ledger.pages);
  for (const auto& [reason, count] : by_count(ledger.dropped))
    table += row("  dropped: " + reason, count, ledger.pages);
  for (const auto& [reason, count] : by_count(ledger.repaired))
    table += row("  repaired: " + reason, count, ledger.pages);
  table += fmt::format("corpus  vocabulary {}, tokenizer {}\n", manifest.vocabulary,
                       manifest.tokenizer_fingerprint);
  for (const Split split : all_splits) {
    const SplitEntry& entry = manifest.split(split);
    table += fmt::format(
        "  {:<11}{:>12} documents {:>14} tokens {:>10.1f} MB of text {:>6.2f} bytes/token\n",
        name(split), entry.documents, entry.tokens, static_cast<double>(entry.text_bytes) / 1e6,
        ratio(entry.text_bytes, entry.tokens));
  }
  return table;
}

std::string report_json(const Ledger& ledger, const Manifest& manifest) {
  using Json = nlohmann::ordered_json;
  Json json = {{"files", ledger.files},           {"file_bytes", ledger.file_bytes},
               {"page_bytes", ledger.page_bytes}, {"clean_bytes", ledger.clean_bytes},
               {"records", ledger.records},       {"skipped", ledger.skipped},
               {"pages", ledger.pages},           {"kept", ledger.kept},
               {"dropped", ledger.dropped},       {"repaired", ledger.repaired},
               {"issues", Json::array()}};
  for (const auto& issue : ledger.issues)
    json["issues"].push_back({{"where", issue.where}, {"what", issue.what}});
  for (const Split split : all_splits) {
    const SplitEntry& entry = manifest.split(split);
    json["splits"][name(split)] = {{"documents", entry.documents},
                                   {"tokens", entry.tokens},
                                   {"text_bytes", entry.text_bytes},
                                   {"shards", entry.shards.size()}};
  }
  // An issue may quote bytes of a file that are not UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace katman
