#include "data_pipeline/build/workplace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/log.h"
#include "data_pipeline/build/report.h"
#include "data_pipeline/corpus/file.h"
#include "data_pipeline/corpus/manifest.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// The files of the corpus in `out`, as far as a manifest names them.
void remove_corpus(const fs::path& out) {
  const fs::path path = out / manifest_file;
  if (!fs::exists(path)) return;
  std::vector<std::string> files = {report_file};
  try {
    const Manifest manifest = parse_manifest(read_whole_file(path.string()), path.string());
    files.push_back(manifest.tokenizer_file);
    for (const Split split : all_splits)
      for (const auto& shard : manifest.split(split).shards) {
        files.push_back(shard.file);
        if (shard.sources) files.push_back(shard.sources->file);
      }
  } catch (const Error& error) {
    spdlog::warn("{}; its shards are left where they are", error.what());
  }
  fs::remove(path);
  for (const std::string& file : files) fs::remove(out / fs::path(file).filename());
}

}  // namespace

Workplace::Workplace(const std::string& out, bool replace)
    : out_(out),
      building_((fs::path(out) / "building").string()),
      scratch_((fs::path(building_) / "scratch").string()),
      result_((fs::path(building_) / "result").string()) {
  require_usage(replace || !fs::exists(fs::path(out) / manifest_file),
                "{} holds a corpus already: give another --out, or --force to replace it", out);
  std::error_code error;
  made_out_ = fs::create_directories(out, error);
  require(!error, "cannot make the directory {}: {}", out, error.message());
  lock_ = open(out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(lock_ >= 0, "cannot open the directory {}: {}", out, std::strerror(errno));
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    fail("another build is writing to {}: wait for it or give another --out", out);
  }
  if (fs::remove_all(building_, error) > 0)
    spdlog::info("removed {}, left by a build that was interrupted", building_);
  fs::create_directories(scratch_, error);
  if (!error) fs::create_directories(result_, error);
  if (error) {
    close(lock_);
    fail("cannot make the directory {}: {}", building_, error.message());
  }
}

Workplace::~Workplace() {
  std::error_code ignored;
  fs::remove_all(building_, ignored);
  if (made_out_) fs::remove(out_, ignored);  // only if it is empty
  close(lock_);
}

void Workplace::publish(const std::string& manifest_json) {
  try {
    remove_corpus(out_);
    for (const auto& entry : fs::directory_iterator(result_))
      fs::rename(entry.path(), fs::path(out_) / entry.path().filename());
  } catch (const fs::filesystem_error& error) {
    fail("cannot move the corpus from {} to {}: {}", result_, out_, error.code().message());
  }
  write_file((fs::path(out_) / manifest_file).string(), manifest_json);  // also syncs `out`
}

}  // namespace katman
