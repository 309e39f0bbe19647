#include "parallel/checkpoint/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "core/error.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_at(std::string_view what, const fs::path& path) {
  const int code = errno;
  fail("cannot {} {}: {}{}", what, path.string(), std::strerror(code),
       code == ENOSPC || code == EDQUOT ? "; free some space, or keep fewer checkpoints" : "");
}

// Drawn at random, because several machines may write into one directory.
fs::path temporary_name(const fs::path& path) {
  std::random_device bits;
  return path.string() + fmt::format(".tmp-{:08x}{:08x}", bits(), bits());
}

}  // namespace

void Files::sync_directory(const fs::path& path) const {
  tell(FileOp::Kind::sync_directory, path);
  const int file = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) fail_at("open directory", path);
  const int result = fsync(file);
  close(file);
  if (result != 0) fail_at("fsync directory", path);
}

void Files::make_directory(const fs::path& path) const {
  if (path.empty() || fs::is_directory(path)) return;
  const fs::path parent = fs::absolute(path).parent_path();
  make_directory(parent);
  tell(FileOp::Kind::make_directory, path);
  if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) fail_at("make directory", path);
  sync_directory(parent);
}

void Files::write(const fs::path& path, std::string_view bytes) const {
  FileWriter writer(*this, path);
  writer.write(std::as_bytes(std::span(bytes)));
  writer.commit();
}

bool Files::write_new(const fs::path& path, std::string_view bytes) const {
  FileWriter writer(*this, path);
  writer.write(std::as_bytes(std::span(bytes)));
  writer.finish_writing();
  tell(FileOp::Kind::link, path);
  // Over NFS the reply to a link that succeeded may be lost and the retry says EEXIST: the count of
  // links tells.
  const bool refused = link(writer.temporary_.c_str(), path.c_str()) != 0;
  const int code = errno;
  struct stat status {};
  const bool mine = stat(writer.temporary_.c_str(), &status) == 0 && status.st_nlink == 2;
  if (refused && !mine) {
    errno = code;
    if (code != EEXIST) fail_at("link", path);
    return false;
  }
  sync_directory(path.parent_path());
  return true;
}

void Files::remove(const fs::path& path) const {
  tell(FileOp::Kind::remove, path);
  std::error_code error;
  fs::remove_all(path, error);
  require(!error, "cannot remove {}: {}", path.string(), error.message());
}

FileWriter::FileWriter(const Files& files, fs::path path)
    : files_(files), path_(std::move(path)), temporary_(temporary_name(path_)) {
  files_.tell(FileOp::Kind::create, temporary_);
  file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file_ < 0) fail_at("create", temporary_);
}

FileWriter::~FileWriter() {
  if (file_ >= 0) close(file_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void FileWriter::write(std::span<const std::byte> bytes) {
  constexpr size_t capacity = 1 << 20;
  if (gathered_.size() + bytes.size() > capacity) flush();
  if (bytes.size() > capacity) return write_through(bytes);
  gathered_.insert(gathered_.end(), bytes.begin(), bytes.end());
}

void FileWriter::flush() {
  write_through(gathered_);
  gathered_.clear();
}

void FileWriter::write_through(std::span<const std::byte> bytes) {
  constexpr size_t most = 16 << 20;  // per call: a kill or a full disk is noticed in between
  while (!bytes.empty()) {
    files_.tell(FileOp::Kind::write, temporary_);
    const ssize_t done = ::write(file_, bytes.data(), std::min(bytes.size(), most));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_at("write", temporary_);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
}

void FileWriter::finish_writing() {
  flush();
  files_.tell(FileOp::Kind::sync, temporary_);
  if (fsync(file_) != 0) fail_at("fsync", temporary_);
  const int result = close(file_);
  file_ = -1;
  if (result != 0) fail_at("close", temporary_);
}

void FileWriter::commit() {
  finish_writing();
  files_.tell(FileOp::Kind::rename, path_);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_at("rename a file to", path_);
  temporary_.clear();
  files_.sync_directory(path_.has_parent_path() ? path_.parent_path() : fs::path("."));
}

FileReader::FileReader(fs::path path) : path_(std::move(path)) {
  file_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) fail_at("open", path_);
  struct stat status {};
  if (fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(file_);
    fail("{} is not a regular file", path_.string());
  }
  bytes_ = status.st_size;
}

FileReader::~FileReader() { close(file_); }

void FileReader::read(int64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const ssize_t done = pread(file_, to.data(), to.size(), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_at("read", path_);
    require(done > 0, "{} ends after {} bytes, {} were expected behind offset {}", path_.string(),
            bytes_, to.size(), offset);
    offset += done;
    to = to.subspan(static_cast<size_t>(done));
  }
}

std::string read_text(const fs::path& path) {
  const FileReader file(path);
  std::string text(static_cast<size_t>(file.bytes()), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

uint64_t checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}
uint64_t checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace katman
