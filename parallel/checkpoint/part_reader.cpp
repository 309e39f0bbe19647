#include "parallel/checkpoint/part_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace katman {

const FileReader& PartReader::open(const std::string& name) {
  auto& reader = readers_[name];
  if (!reader) reader = std::make_unique<FileReader>(directory_ / name);
  return *reader;
}

int64_t PartReader::keep(const CheckpointPart& part, int64_t first) {
  if (std::exchange(held_, nullptr) != &part || first < held_begin_ || first >= held_end_)
    return first;
  std::memmove(buffer_.data(), buffer_.data() + (first - held_begin_),
               static_cast<size_t>(held_end_ - first));
  return held_end_;
}

const std::byte* PartReader::read(const CheckpointFile& file, const CheckpointPart& part,
                                  int64_t begin, int64_t end) {
  const int64_t first = begin / block_bytes_ * block_bytes_;
  const int64_t last =
      std::min(bytes_of(part), (end + block_bytes_ - 1) / block_bytes_ * block_bytes_);
  const int64_t missing = keep(part, first);
  if (static_cast<size_t>(last - first) > buffer_.size())
    buffer_.resize(static_cast<size_t>(last - first));
  const auto offset = static_cast<int64_t>(file.head_bytes() + part.offset());
  const FileReader& reader = open(part.file());
  for (int64_t block = missing; block < last; block += block_bytes_) {
    const std::span<std::byte> bytes(buffer_.data() + (block - first),
                                     static_cast<size_t>(std::min(block_bytes_, last - block)));
    reader.read(offset + block, bytes);
    require(checksum(bytes) == part.block_xxh3(static_cast<int>(block / block_bytes_)),
            "{} is damaged: bytes [{}, {}) do not have the checksum that was written",
            reader.path().string(), offset + block,
            offset + block + static_cast<int64_t>(bytes.size()));
  }
  held_ = &part;
  held_begin_ = first;
  held_end_ = std::max(last, missing);
  return buffer_.data() + (begin - first);
}

}  // namespace katman
