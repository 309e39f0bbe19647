// Files that survive: whatever instant the process or the machine dies at, a file written here is
// either absent or whole. The recipe, every time: write under a temporary name, fsync, rename,
// fsync the directory (Pillai et al., "All file systems are not created equal", OSDI 2014).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace katman {

// One operation that is about to happen.
struct FileOp {
  enum class Kind { make_directory, create, write, sync, rename, link, sync_directory, remove };
  Kind kind;
  std::filesystem::path path;
};

class FileWriter;

// Every change that a checkpoint makes to the disk goes through one of these. `before` is called
// ahead of each, so that a test can count them, refuse them (by throwing) or die there.
class Files {
 public:
  explicit Files(std::function<void(const FileOp&)> before = {}) : before_(std::move(before)) {}

  // Makes `path` and its missing parents, durably. Fine when it exists.
  void make_directory(const std::filesystem::path& path) const;
  // A whole small file, durably; replaces one that exists.
  void write(const std::filesystem::path& path, std::string_view bytes) const;
  // A whole small file, durably, or false when one of that name exists: of several processes that
  // try, exactly one succeeds. link() decides; rename() would overwrite in silence.
  bool write_new(const std::filesystem::path& path, std::string_view bytes) const;
  // A directory with everything in it. Fine when it is gone.
  void remove(const std::filesystem::path& path) const;

 private:
  friend class FileWriter;
  void tell(FileOp::Kind kind, const std::filesystem::path& path) const {
    if (before_) before_({kind, path});
  }
  void sync_directory(const std::filesystem::path& path) const;

  std::function<void(const FileOp&)> before_;
};

// One file in the making. It appears under its name at commit(); without one, nothing stays.
class FileWriter {
 public:
  FileWriter(const Files& files, std::filesystem::path path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);  // small ones are gathered
  void commit();                                 // durable on return

 private:
  friend class Files;
  void write_through(std::span<const std::byte> bytes);
  void flush();
  void finish_writing();  // fsync, close

  const Files& files_;
  std::filesystem::path path_, temporary_;
  int file_ = -1;
  std::vector<std::byte> gathered_;
};

// A file open for reading at any offset, by several threads at a time.
class FileReader {
 public:
  explicit FileReader(std::filesystem::path path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int64_t bytes() const { return bytes_; }
  // Fills `to` from `offset` on; throws Error when the file ends before.
  void read(int64_t offset, std::span<std::byte> to) const;

 private:
  std::filesystem::path path_;
  int file_ = -1;
  int64_t bytes_ = 0;
};

// A whole small file. Throws Error naming it when it cannot be read.
std::string read_text(const std::filesystem::path& path);

// 64 bits of XXH3 (Collet, 2019): an error in the bytes goes unseen once in 2^64.
uint64_t checksum(std::span<const std::byte> bytes);
uint64_t checksum(std::string_view bytes);

}  // namespace katman
