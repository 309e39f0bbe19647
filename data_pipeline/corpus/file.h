// Files that appear whole or not at all, and files read as memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace katman {

// A file in the making. Bytes go to `path`.partial; commit() makes them durable (fsync of the file
// and of its directory) and gives them their name in one rename, so a reader sees the whole file or
// none. Destroyed without commit(), it leaves nothing. Errors name the file and the reason.
class NewFile {
 public:
  explicit NewFile(std::string path);
  ~NewFile();
  NewFile(NewFile&& other) noexcept;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  NewFile& operator=(NewFile&&) = delete;

  void write(const void* data, uint64_t bytes) { write_at(size_, data, bytes); }
  // Overwrites or extends; a gap that is never written reads as zeros.
  void write_at(uint64_t offset, const void* data, uint64_t bytes);
  uint64_t size() const { return size_; }  // end of the furthest write
  const std::string& path() const { return path_; }
  void commit();
  // The same without waiting for the disk: for scratch files, which nobody needs after a crash.
  void commit_lazily();

 private:
  std::string path_, partial_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// The same for a small file that is at hand.
void write_file(const std::string& path, std::string_view bytes);

// The whole of a (small) file.
std::string read_whole_file(const std::string& path);

// A file mapped read-only for as long as this lives. Pages come and go with memory pressure, so a
// corpus may be larger than the machine.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile& operator=(MappedFile&&) = delete;

  const char* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  const char* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace katman
