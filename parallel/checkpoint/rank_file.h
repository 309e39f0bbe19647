// What one rank writes for a checkpoint: a safetensors file that describes itself completely, so
// that the manifest can be put together from the heads of the ranks' files alone.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/backend.h"
#include "parallel/checkpoint/files.h"
#include "parallel/checkpoint/piece.h"
#include "proto/checkpoint.pb.h"

namespace katman {

// Host copies of the pieces that a rank owns: what is written while training goes on. The memory
// is kept from one save to the next.
class Snapshot {
 public:
  struct Part {
    std::string name;
    Piece::What what;
    Shape global;
    Box box;
    std::span<const std::byte> data;
  };

  // Takes memory for that, and touches it.
  void reserve(int64_t bytes);
  // Copies every owned piece (only masters with weights_only) from the device.
  void take(std::span<const Piece> pieces, Backend& backend, bool weights_only);
  static int64_t bytes_of(std::span<const Piece> pieces, bool weights_only);
  const std::vector<Part>& parts() const { return parts_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<Part> parts_;
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  int64_t bytes_ = 0, capacity_ = 0;
};

std::string rank_file_name(int rank);     // rank-00003.safetensors
std::string rank_failure_name(int rank);  // rank-00003.failed: the sentence why there is no file

// Tensors are named "h.0.attn.qkv.weight|master|0:64,0:768".
void write_rank_file(const Files& files, const std::filesystem::path& directory, int rank,
                     const Snapshot& snapshot);

// Adds what the rank's file says about itself to the manifest. Throws Error when it is damaged.
void add_rank_file(CheckpointManifest& manifest, const std::filesystem::path& directory, int rank);

}  // namespace katman
