#include "data_pipeline/build/store.h"

#include <zstd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace katman {
namespace {

struct FrameHeader {
  uint32_t packed_bytes, raw_bytes;
  uint64_t documents;
};

constexpr int fastest = 1;  // of zstd: this data is read once, soon

}  // namespace

void Frame::add(std::string_view text) {
  require(text.size() <= UINT32_MAX - raw_.size() - 4, "a document of {} bytes is too long",
          text.size());
  const auto length = static_cast<uint32_t>(text.size());
  raw_.append(reinterpret_cast<const char*>(&length), sizeof length);
  raw_.append(text);
  ++documents_;
}

void Frame::for_each(const std::function<void(std::string_view text)>& visit) const {
  for (size_t at = 0; at < raw_.size();) {
    uint32_t length;
    std::memcpy(&length, raw_.data() + at, sizeof length);
    at += sizeof length;
    visit(std::string_view(raw_).substr(at, length));
    at += length;
  }
}

std::string Frame::pack() const {
  std::string packed(sizeof(FrameHeader) + ZSTD_compressBound(raw_.size()), '\0');
  const size_t n =
      ZSTD_compress(packed.data() + sizeof(FrameHeader), packed.size() - sizeof(FrameHeader),
                    raw_.data(), raw_.size(), fastest);
  require(!ZSTD_isError(n), "zstd cannot compress a frame: {}", ZSTD_getErrorName(n));
  const FrameHeader header{static_cast<uint32_t>(n), static_cast<uint32_t>(raw_.size()),
                           documents_};
  std::memcpy(packed.data(), &header, sizeof header);
  packed.resize(sizeof header + n);
  return packed;
}

Frame Frame::unpack(std::string_view packed, const std::string& path) {
  FrameHeader header;
  std::memcpy(&header, packed.data(), sizeof header);
  Frame frame;
  frame.documents_ = header.documents;
  frame.raw_.resize(header.raw_bytes);
  const size_t n = ZSTD_decompress(frame.raw_.data(), frame.raw_.size(),
                                   packed.data() + sizeof header, header.packed_bytes);
  require(n == header.raw_bytes, "{} was damaged while the build was running", path);
  return frame;
}

StoreReader::StoreReader(std::string path)
    : path_(std::move(path)), file_(std::fopen(path_.c_str(), "rbe"), &std::fclose) {
  require(file_ != nullptr, "cannot open {}: {}", path_, std::strerror(errno));
}

bool StoreReader::next(std::string& packed, uint64_t& documents) {
  FrameHeader header;
  const size_t n = std::fread(&header, 1, sizeof header, file_.get());
  if (n == 0 && std::feof(file_.get())) return false;
  require(n == sizeof header, "cannot read {}: it ends within a frame", path_);
  packed.resize(sizeof header + header.packed_bytes);
  std::memcpy(packed.data(), &header, sizeof header);
  require(std::fread(packed.data() + sizeof header, 1, header.packed_bytes, file_.get()) ==
              header.packed_bytes,
          "cannot read {}: it ends within a frame", path_);
  documents = header.documents;
  return true;
}

}  // namespace katman
