// Reads stored parts of tensors, and lets nothing through that was not checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "parallel/checkpoint/files.h"
#include "parallel/checkpoint/manifest.h"

namespace katman {

// Reads whole blocks of the files below one checkpoint and holds each against its checksum. For one
// thread.
class PartReader {
 public:
  PartReader(std::filesystem::path directory, int64_t block_bytes)
      : directory_(std::move(directory)), block_bytes_(block_bytes) {}

  // Bytes [begin, end) of the part, valid until the next call. Whoever goes through a part from
  // front to back reads no block twice. Throws Error naming the bytes that are damaged.
  const std::byte* read(const CheckpointFile& file, const CheckpointPart& part, int64_t begin,
                        int64_t end);

  const FileReader& open(const std::string& name);

 private:
  // Keeps those blocks from `first` on that the buffer holds; returns where they end.
  int64_t keep(const CheckpointPart& part, int64_t first);

  std::filesystem::path directory_;
  int64_t block_bytes_;
  std::vector<std::byte> buffer_;
  const CheckpointPart* held_ = nullptr;  // of which the buffer has bytes [begin, end)
  int64_t held_begin_ = 0, held_end_ = 0;
  std::map<std::string, std::unique_ptr<FileReader>> readers_;
};

}  // namespace katman
