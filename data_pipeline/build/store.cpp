#include "data_pipeline/build/store.h"

#include <zstd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace katman {
namespace {

struct FrameHeader {
  uint32_t packed_bytes, text_bytes;  // of the texts
  uint32_t source_bytes, documents;

  size_t bytes_behind() const { return size_t{source_bytes} + packed_bytes; }
};

constexpr int fastest = 1;  // of zstd: this data is read once, soon

void append(std::string& raw, std::string_view bytes) {
  const auto length = static_cast<uint32_t>(bytes.size());
  raw.append(reinterpret_cast<const char*>(&length), sizeof length);
  raw.append(bytes);
}

// What append() put at raw[at]; moves `at` behind it.
std::string_view take(std::string_view raw, size_t& at) {
  uint32_t length;
  std::memcpy(&length, raw.data() + at, sizeof length);
  at += sizeof length + length;
  return raw.substr(at - length, length);
}

}  // namespace

void Frame::add(std::string_view source, std::string_view text) {
  require(text.size() <= UINT32_MAX - texts_.size() - sizeof(uint32_t),
          "a document of {} bytes is too long", text.size());
  append(sources_, source);
  append(texts_, text);
  ++documents_;
}

void Frame::for_each(const Visit& visit) const {
  for (size_t at = 0, source_at = 0; at < texts_.size();) {
    const std::string_view source = take(sources_, source_at);
    visit(source, take(texts_, at));
  }
}

std::string Frame::pack() const {
  const size_t texts_at = sizeof(FrameHeader) + sources_.size();
  std::string packed(texts_at + ZSTD_compressBound(texts_.size()), '\0');
  const size_t n = ZSTD_compress(packed.data() + texts_at, packed.size() - texts_at, texts_.data(),
                                 texts_.size(), fastest);
  require(!ZSTD_isError(n), "zstd cannot compress a frame: {}", ZSTD_getErrorName(n));
  const FrameHeader header{static_cast<uint32_t>(n), static_cast<uint32_t>(texts_.size()),
                           static_cast<uint32_t>(sources_.size()),
                           static_cast<uint32_t>(documents_)};
  std::memcpy(packed.data(), &header, sizeof header);
  sources_.copy(packed.data() + sizeof header, sources_.size());
  packed.resize(texts_at + n);
  return packed;
}

Frame Frame::unpack(std::string_view packed, const std::string& path) {
  FrameHeader header;
  std::memcpy(&header, packed.data(), sizeof header);
  Frame frame;
  frame.documents_ = header.documents;
  frame.sources_ = packed.substr(sizeof header, header.source_bytes);
  frame.texts_.resize(header.text_bytes);
  const std::string_view texts = packed.substr(sizeof header + header.source_bytes);
  const size_t n =
      ZSTD_decompress(frame.texts_.data(), frame.texts_.size(), texts.data(), texts.size());
  require(n == header.text_bytes, "{} was damaged while the build was running", path);
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
  packed.resize(sizeof header + header.bytes_behind());
  std::memcpy(packed.data(), &header, sizeof header);
  require(std::fread(packed.data() + sizeof header, 1, header.bytes_behind(), file_.get()) ==
              header.bytes_behind(),
          "cannot read {}: it ends within a frame", path_);
  documents = header.documents;
  return true;
}

}  // namespace katman
