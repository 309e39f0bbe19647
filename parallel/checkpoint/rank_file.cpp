#include "parallel/checkpoint/rank_file.h"

#include <fmt/ranges.h>
#include <google/protobuf/text_format.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/safetensors.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr char description_key[] = "katman";

std::string tensor_name(const Snapshot::Part& part) {
  std::vector<std::string> ranges;
  for (size_t axis = 0; axis < part.box.extent.size(); ++axis)
    ranges.push_back(
        fmt::format("{}:{}", part.box.begin[axis], part.box.begin[axis] + part.box.extent[axis]));
  return fmt::format("{}|{}|{}", part.name, name_of(part.what), fmt::join(ranges, ","));
}

// Describes one part whose data begins `offset` bytes behind the head.
void describe(const Snapshot::Part& part, const std::string& file, int64_t offset,
              CheckpointPart& description) {
  description.set_state(state_of(part.what));
  description.mutable_begin()->Assign(part.box.begin.begin(), part.box.begin.end());
  description.mutable_extent()->Assign(part.box.extent.begin(), part.box.extent.end());
  description.set_file(file);
  description.set_offset(static_cast<uint64_t>(offset));
  for (size_t begin = 0; begin < part.data.size(); begin += checksum_block_bytes)
    description.add_block_xxh3(checksum(part.data.subspan(
        begin, std::min<size_t>(checksum_block_bytes, part.data.size() - begin))));
}

// The tensors of the file, and as one line of protobuf text what the manifest will say of them.
std::string describe_all(const Snapshot& snapshot, const std::string& file,
                         std::vector<SafeTensor>& tensors) {
  CheckpointManifest manifest;
  std::map<std::string, CheckpointTensor*> by_name;
  int64_t offset = 0;
  for (const Snapshot::Part& part : snapshot.parts()) {
    CheckpointTensor*& tensor = by_name[part.name];
    if (!tensor) {
      tensor = manifest.add_tensors();
      tensor->set_name(part.name);
      const auto shape = part.global.extents();
      tensor->mutable_shape()->Assign(shape.begin(), shape.end());
    }
    describe(part, file, offset, *tensor->add_parts());
    tensors.push_back({tensor_name(part), "F32", part.box.extent, 0, 0});
    offset += static_cast<int64_t>(part.data.size());
  }
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(manifest, &text);
  return text;
}

}  // namespace

namespace {

bool wanted(const Piece& piece, bool weights_only) {
  return piece.owned && (!weights_only || piece.what == Piece::What::master);
}

}  // namespace

int64_t Snapshot::bytes_of(std::span<const Piece> pieces, bool weights_only) {
  int64_t bytes = 0;
  for (const Piece& piece : pieces)
    if (wanted(piece, weights_only)) bytes += piece.data.bytes();
  return bytes;
}

// In huge pages: touching a gigabyte for the first time page by page takes over a second.
void Snapshot::reserve(int64_t bytes) {
  if (bytes <= capacity_) return;
  memory_.reset();  // not both at a time
  constexpr size_t page = 2 << 20;
  const size_t rounded = (static_cast<size_t>(bytes) + page - 1) / page * page;
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(page, rounded)));
  require(memory_ != nullptr, "no memory for a checkpoint of {:.2f} GB",
          static_cast<double>(bytes) / 1e9);
  madvise(memory_.get(), rounded, MADV_HUGEPAGE);
  for (size_t at = 0; at < rounded; at += 4096) memory_.get()[at] = std::byte{};
  capacity_ = bytes;
}

void Snapshot::take(std::span<const Piece> pieces, Backend& backend, bool weights_only) {
  bytes_ = bytes_of(pieces, weights_only);
  reserve(bytes_);
  parts_.clear();
  std::byte* to = memory_.get();
  for (const Piece& piece : pieces) {
    if (!wanted(piece, weights_only)) continue;
    require(contains(piece.global, piece.box) && piece.data.dtype() == DType::f32 &&
                piece.data.elements() == piece.box.elements(),
            "{} of {}: a {} tensor {} cannot hold box {} of {}", name_of(piece.what), piece.name,
            name_of(piece.data.dtype()), to_string(piece.data.shape()), to_string(piece.box),
            to_string(piece.global));
    const auto bytes = static_cast<size_t>(piece.data.bytes());
    backend.download(piece.data, to);
    parts_.push_back({piece.name, piece.what, piece.global, piece.box, {to, bytes}});
    to += bytes;
  }
}

std::string rank_file_name(int rank) { return fmt::format("rank-{:05}.safetensors", rank); }
std::string rank_failure_name(int rank) { return fmt::format("rank-{:05}.failed", rank); }

void write_rank_file(const Files& files, const fs::path& directory, int rank,
                     const Snapshot& snapshot) {
  const std::string name = rank_file_name(rank);
  std::vector<SafeTensor> tensors;
  const std::string description = describe_all(snapshot, name, tensors);
  const std::string head =
      safetensors_head(tensors, {{"format", "pt"}, {description_key, description}});
  FileWriter writer(files, directory / name);
  writer.write(std::as_bytes(std::span(head)));
  for (const Snapshot::Part& part : snapshot.parts()) writer.write(part.data);
  writer.commit();
}

void add_rank_file(CheckpointManifest& manifest, const fs::path& directory, int rank) {
  const FileReader file(directory / rank_file_name(rank));
  const SafeTensorsHead head = read_safetensors_head(file);
  std::string bytes(static_cast<size_t>(head.bytes), '\0');
  file.read(0, std::as_writable_bytes(std::span(bytes)));
  CheckpointFile& entry = *manifest.add_files();
  entry.set_name(rank_file_name(rank));
  entry.set_bytes(static_cast<uint64_t>(file.bytes()));
  entry.set_head_bytes(static_cast<uint64_t>(head.bytes));
  entry.set_head_xxh3(checksum(bytes));

  CheckpointManifest description;
  const auto text = head.metadata.find(description_key);
  require(text != head.metadata.end() &&
              google::protobuf::TextFormat::ParseFromString(text->second, &description),
          "{} does not describe its tensors", file.path().string());
  std::map<std::string, CheckpointTensor*> by_name;
  for (CheckpointTensor& tensor : *manifest.mutable_tensors()) by_name[tensor.name()] = &tensor;
  for (CheckpointTensor& tensor : *description.mutable_tensors()) {
    const auto known = by_name.find(tensor.name());
    if (known == by_name.end()) {
      *manifest.add_tensors() = std::move(tensor);
    } else {
      known->second->mutable_parts()->MergeFrom(tensor.parts());
    }
  }
}

}  // namespace katman
