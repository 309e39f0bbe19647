#include "data_pipeline/corpus/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"

namespace katman {
namespace {

std::string reason() { return std::strerror(errno); }

[[noreturn]] void cannot_write(const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  fail("cannot write {}: {}{}", path, reason(),
       full ? "; free some space there or choose a directory on another disk" : "");
}

void sync_directory_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(descriptor >= 0, "cannot open directory {}: {}", directory, reason());
  const bool synced = fsync(descriptor) == 0 || errno == EINVAL;  // not every file system can
  close(descriptor);
  require(synced, "cannot make {} durable: {}", directory, reason());
}

}  // namespace

NewFile::NewFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {
  descriptor_ = open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) cannot_write(partial_);
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(partial_.c_str());
}

void NewFile::write_at(uint64_t offset, const void* data, uint64_t bytes) {
  const char* next = static_cast<const char*>(data);
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t n =
        pwrite(descriptor_, next + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) cannot_write(path_);
    done += static_cast<uint64_t>(n);
  }
  size_ = std::max(size_, offset + bytes);
}

void NewFile::commit() {
  if (fsync(descriptor_) != 0) cannot_write(path_);
  commit_lazily();
  sync_directory_of(path_);
}

void NewFile::commit_lazily() {
  if (close(std::exchange(descriptor_, -1)) != 0 || rename(partial_.c_str(), path_.c_str()) != 0) {
    const int saved = errno;
    unlink(partial_.c_str());
    errno = saved;
    cannot_write(path_);
  }
}

void write_file(const std::string& path, std::string_view bytes) {
  NewFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

std::string read_whole_file(const std::string& path) {
  const MappedFile file(path);
  return {file.data(), file.size()};
}

MappedFile::MappedFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(descriptor >= 0, "cannot open {}: {}", path, reason());
  struct stat info {};
  const bool regular = fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
  size_ = regular ? static_cast<uint64_t>(info.st_size) : 0;
  void* mapped = size_ ? mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0) : nullptr;
  const std::string why = reason();
  close(descriptor);
  require(regular, "{} is not a regular file", path);
  require(mapped != MAP_FAILED, "cannot map {} into memory: {}", path, why);
  data_ = static_cast<const char*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<char*>(data_), size_);
}

}  // namespace katman
