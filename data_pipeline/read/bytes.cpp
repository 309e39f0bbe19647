#include "data_pipeline/read/bytes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/error.h"

namespace katman {
namespace {

std::string reason() { return std::generic_category().message(errno); }

class File : public ByteSource {
 public:
  explicit File(const std::string& path)
      : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    require(fd_ >= 0, "cannot open {}: {}", path, reason());
  }
  ~File() override { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  size_t read(char* to, size_t room) override {
    ssize_t got;
    do got = ::read(fd_, to, room);
    while (got < 0 && errno == EINTR);
    require(got >= 0, "cannot read {} after byte {}: {}", path_, taken_, reason());
    taken_ += static_cast<uint64_t>(got);
    return static_cast<size_t>(got);
  }
  uint64_t bytes_in() const override { return taken_; }

 private:
  std::string path_;
  int fd_;
  uint64_t taken_ = 0;
};

// Puts back the bytes that were read to recognise a format.
class Replay : public ByteSource {
 public:
  Replay(std::string first, std::unique_ptr<ByteSource> rest)
      : first_(std::move(first)), rest_(std::move(rest)) {}

  size_t read(char* to, size_t room) override {
    if (used_ == first_.size()) return rest_->read(to, room);
    const size_t count = std::min(room, first_.size() - used_);
    std::memcpy(to, first_.data() + used_, count);
    used_ += count;
    return count;
  }
  uint64_t bytes_in() const override { return rest_->bytes_in(); }

 private:
  std::string first_;
  size_t used_ = 0;
  std::unique_ptr<ByteSource> rest_;
};

bool is_zstd(std::string_view first) {
  const bool frame = first.substr(0, 4) == "\x28\xb5\x2f\xfd";
  const bool skippable = first.size() >= 4 && first.substr(1, 3) == "\x2a\x4d\x18" &&
                         (static_cast<unsigned char>(first[0]) & 0xf0) == 0x50;
  return frame || skippable;
}

}  // namespace

ByteWindow::ByteWindow(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), buffer_(size_t{256} << 10) {}

std::string_view ByteWindow::peek(size_t want) {
  constexpr size_t least_read = size_t{32} << 10;
  while (end_ - begin_ < want && !ended_) {
    if (buffer_.size() - end_ < least_read) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      // Doubling, not `want` at once: a record that only claims to be long costs no memory.
      if (buffer_.size() - end_ < least_read) buffer_.resize(2 * buffer_.size());
    }
    try {
      const size_t got = source_->read(buffer_.data() + end_, buffer_.size() - end_);
      end_ += got;
      ended_ = got == 0;
    } catch (...) {
      failure_ = std::current_exception();
      ended_ = true;
    }
  }
  return {buffer_.data() + begin_, end_ - begin_};
}

void ByteWindow::consume(size_t count) {
  require(count <= end_ - begin_, "{} bytes taken where {} were shown", count, end_ - begin_);
  begin_ += count;
  offset_ += count;
}

bool ByteWindow::at_end() {
  if (!peek(1).empty()) return false;
  check();
  return true;
}

void ByteWindow::check() const {
  if (failure_) std::rethrow_exception(failure_);
}

std::unique_ptr<ByteSource> open_file(const std::string& path) {
  return std::make_unique<File>(path);
}

std::unique_ptr<ByteSource> open_bytes(const std::string& path) {
  auto file = open_file(path);
  std::string first(4, '\0');
  size_t got = 0;
  while (got < first.size()) {
    const size_t more = file->read(first.data() + got, first.size() - got);
    if (more == 0) break;
    got += more;
  }
  first.resize(got);
  const bool gzip = first.substr(0, 2) == "\x1f\x8b", zstd = is_zstd(first);
  auto whole = std::make_unique<Replay>(std::move(first), std::move(file));
  if (gzip) return gunzip(std::move(whole), path);
  if (zstd) return unzstd(std::move(whole), path);
  return whole;
}

}  // namespace katman
