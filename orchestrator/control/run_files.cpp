#include "orchestrator/control/run_files.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <fstream>
#include <map>

#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/commit_log.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

uint64_t bytes_below(const fs::path& directory) {
  uint64_t bytes = 0;
  std::error_code gone;  // retention may be at work
  for (fs::recursive_directory_iterator file(directory, gone), end; !gone && file != end;
       file.increment(gone))
    if (file->is_regular_file(gone)) bytes += file->file_size(gone);
  return bytes;
}

double changed_at(const fs::path& path) {
  std::error_code gone;
  const auto time = fs::last_write_time(path, gone);
  if (gone) return 0;
  const auto system = std::chrono::file_clock::to_sys(time).time_since_epoch();
  return std::chrono::duration<double>(system).count();
}

std::string layout_of(const fs::path& directory) try {
  return to_string(read_checkpoint_info(directory).mesh);
} catch (const Error&) {
  return {};  // damaged, or just being retired
}

SavedCheckpoint describe(const CommitLog::Entry& entry, const fs::path& directory) {
  SavedCheckpoint saved;
  saved.set_step(static_cast<uint64_t>(entry.step));
  saved.set_generation(entry.generation);
  saved.set_directory(entry.directory);
  saved.set_bytes(bytes_below(directory));
  saved.set_saved_at(changed_at(directory));
  saved.set_layout(layout_of(directory));
  return saved;
}

bool same_letter(char a, char b) {
  return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
}

std::string lines_with(const std::string& words, const std::string& text) {
  std::string found;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    const auto line = std::string_view(text).substr(begin, end - begin);
    if (!std::ranges::search(line, words, same_letter).empty()) found += line;
    begin = end;
  }
  return found;
}

}  // namespace

void CheckpointCatalogue::add(const fs::path& run_directory, RunDetails& details) {
  const fs::path directory = run_directory / "checkpoints";
  const Files files;
  CommitLog log(directory, files);
  log.refresh();
  const auto add = [&](const CommitLog::Entry& entry, bool discarded) {
    const fs::path path = directory / entry.directory;
    const std::lock_guard lock(mutex_);
    const auto [known, is_new] = known_.try_emplace(path);
    if (is_new) known->second = describe(entry, path);
    SavedCheckpoint& saved = *details.add_checkpoints();
    saved = known->second;
    saved.set_discarded(discarded);
  };
  for (const CommitLog::Entry& entry : log.discarded()) add(entry, true);
  for (const CommitLog::Entry& entry : log.live()) add(entry, false);
}

void add_ranks(const std::vector<RankView>& ranks, const Mesh& mesh, RunDetails& details) {
  std::map<std::string, NodePlan> hosts;
  for (const RankView& rank : ranks) {
    RankView& view = *details.add_ranks();
    view = rank;
    const Place place = mesh.place(rank.rank());
    view.set_tp(place.tp);
    view.set_dp(place.dp);
    view.set_pp(place.pp);
    hosts[rank.host()].add_ranks(rank.rank());
  }
  if (ranks.size() != static_cast<size_t>(mesh.size())) return;
  for (auto& [host, node] : hosts) {
    node.set_node(host);
    *details.add_nodes() = node;
  }
}

std::string read_log(const fs::path& file, uint32_t most_bytes, const std::string& contains) {
  constexpr int64_t most_searched = 64 << 20;
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in.good()) return {};
  const auto size = static_cast<int64_t>(in.tellg());
  const int64_t wanted = contains.empty() ? int64_t{most_bytes} : most_searched;
  in.seekg(std::max<int64_t>(0, size - wanted));
  std::string text(static_cast<size_t>(std::min(size, wanted)), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (!contains.empty()) text = lines_with(contains, text);
  if (text.size() > most_bytes) text.erase(0, text.size() - most_bytes);
  // Strings on the wire are UTF-8, and what was read may begin within a character.
  for (char& byte : text)
    if (static_cast<unsigned char>(byte) >= 0x80) byte = '?';
  return text;
}

}  // namespace katman
