// Streams of bytes: a file, and what decompresses it, in constant memory.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace katman {

// Bytes in order, once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Writes between 1 and `room` bytes (room > 0) to `to` and returns how many; 0 at the end. Throws
  // Error naming the file and the place where it cannot go on, after all bytes before it were
  // given.
  virtual size_t read(char* to, size_t room) = 0;

  virtual uint64_t bytes_in() const = 0;  // taken from disk so far
};

// A view of the next bytes of a source that grows and slides.
//
// A source's failure is kept back until the bytes before it are used up, so that whatever is whole
// in front of a damaged place is still delivered.
class ByteWindow {
 public:
  explicit ByteWindow(std::unique_ptr<ByteSource> source);

  // The next bytes: at least `want` of them, fewer only before the end or before a failure. Valid
  // until the next peek. Memory grows to the largest `want`.
  std::string_view peek(size_t want);
  void consume(size_t count);

  bool at_end();       // no byte is left; throws the source's failure if that is why
  void check() const;  // throws the failure that cut the last peek short, if there was one
  uint64_t offset() const { return offset_; }  // of the next byte, decompressed
  uint64_t bytes_in() const { return source_->bytes_in(); }

 private:
  std::unique_ptr<ByteSource> source_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // buffer_[begin_, end_) is what peek can show
  uint64_t offset_ = 0;
  bool ended_ = false;
  std::exception_ptr failure_;
};

std::unique_ptr<ByteSource> open_file(const std::string& path);

// Gzip members one after the other (RFC 1952), small ones at once with libdeflate, the rest through
// zlib; zeros after the last member are padding. Truncation, a wrong checksum and anything else
// behind the last member are errors.
std::unique_ptr<ByteSource> gunzip(std::unique_ptr<ByteSource> from, const std::string& path);

// Zstandard frames one after the other (RFC 8878), windows up to 128 MiB. A dictionary in a leading
// skippable frame 0x184D2A5D (the .warc.zst convention of the IIPC) is used.
std::unique_ptr<ByteSource> unzstd(std::unique_ptr<ByteSource> from, const std::string& path);

// open_file, and whichever of the above its first bytes ask for.
std::unique_ptr<ByteSource> open_bytes(const std::string& path);

}  // namespace katman
