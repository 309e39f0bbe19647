#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "core/log.h"
#include "data_pipeline/read/pages.h"

namespace katman {
namespace {
namespace fs = std::filesystem;

bool named_like_input(const fs::path& path) {
  fs::path name = path.filename();
  if (name.string().starts_with('.')) return false;
  if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
  constexpr std::array<std::string_view, 10> known = {
      ".warc", ".wet", ".html", ".htm", ".xhtml", ".jsonl", ".ndjson", ".txt", ".text", ".md"};
  return std::find(known.begin(), known.end(), name.extension().string()) != known.end();
}

// The last part of a path as it was written: of "a/b/" and "./b" it is "b", of "." and "../.."
// there is none.
fs::path last_part(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  const fs::path last = normal.has_filename() ? normal.filename() : normal.parent_path().filename();
  return last == "." || last == ".." ? fs::path() : last;
}

void search(const fs::path& folder, std::vector<InputFile>& found) {
  const fs::path last = last_part(folder);
  size_t taken = 0, ignored = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    if (named_like_input(entry.path())) {
      const fs::path below = entry.path().lexically_relative(folder);
      found.push_back({entry.path().string(), (last / below).generic_string()});
      ++taken;
    } else {
      ++ignored;
    }
  }
  require_usage(taken > 0,
                "{} holds no file named like an input (.warc .wet .html .jsonl .txt .md, also with "
                ".gz or .zst); name the files themselves to read them whatever they are called",
                folder.string());
  if (ignored > 0)
    spdlog::info("{}: {} inputs; {} files of other kinds are left alone", folder.string(), taken,
                 ignored);
}

}  // namespace

std::vector<InputFile> list_inputs(const std::vector<std::string>& paths) {
  require_usage(!paths.empty(), "there is nothing to read: name at least one file or directory");
  std::vector<InputFile> found;
  for (const std::string& path : paths) {
    require_usage(fs::exists(path), "{} does not exist", path);
    if (fs::is_directory(path))
      search(path, found);
    else
      found.push_back({path, last_part(path).string()});
  }
  std::ranges::stable_sort(found, {}, &InputFile::path);  // the first to name a file names it
  const auto repeated = std::ranges::unique(found, {}, &InputFile::path);
  found.erase(repeated.begin(), repeated.end());
  return found;
}

}  // namespace katman
