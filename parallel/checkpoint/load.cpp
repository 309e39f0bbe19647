// Reading checkpoints: any layout from any layout, and nothing that was not checked.
#include <algorithm>
#include <map>
#include <memory>

#include "core/error.h"
#include "core/log.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/manifest.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// Reads parts of tensors in whole blocks and checks the checksum of each.
class PartReader {
 public:
  PartReader(fs::path directory, int64_t block_bytes)
      : directory_(std::move(directory)), block_bytes_(block_bytes) {}

  // Bytes [begin, end) of the part. Valid until the next call.
  const std::byte* read(const CheckpointFile& file, const CheckpointPart& part, int64_t begin,
                        int64_t end) {
    const int64_t first = begin / block_bytes_ * block_bytes_;
    const int64_t last =
        std::min(bytes_of(part), (end + block_bytes_ - 1) / block_bytes_ * block_bytes_);
    if (static_cast<size_t>(last - first) > buffer_.size())
      buffer_.resize(static_cast<size_t>(last - first));
    const std::span<std::byte> bytes(buffer_.data(), static_cast<size_t>(last - first));
    const auto offset = static_cast<int64_t>(file.head_bytes() + part.offset());
    const FileReader& reader = open(part.file());
    reader.read(offset + first, bytes);
    for (int64_t block = first; block < last; block += block_bytes_) {
      const auto length = static_cast<size_t>(std::min(block_bytes_, last - block));
      require(checksum(bytes.subspan(static_cast<size_t>(block - first), length)) ==
                  part.block_xxh3(static_cast<int>(block / block_bytes_)),
              "{} is damaged: bytes [{}, {}) do not have the checksum that was written",
              reader.path().string(), offset + block,
              offset + block + static_cast<int64_t>(length));
    }
    return bytes.data() + (begin - first);
  }

  const FileReader& open(const std::string& name) {
    auto& reader = readers_[name];
    if (!reader) reader = std::make_unique<FileReader>(directory_ / name);
    return *reader;
  }

 private:
  fs::path directory_;
  int64_t block_bytes_;
  std::vector<std::byte> buffer_;
  std::map<std::string, std::unique_ptr<FileReader>> readers_;
};

// w [rows, columns] += scale * b [rows, rank] a [rank, columns].
void add_product(const float* b, const float* a, int64_t rows, int64_t rank, int64_t columns,
                 float scale, float* w) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t r = 0; r < rank; ++r) {
      const float factor = scale * b[row * rank + r];
      for (int64_t column = 0; column < columns; ++column)
        w[row * columns + column] += factor * a[r * columns + column];
    }
}

// A checkpoint, indexed for loading.
class Source {
 public:
  explicit Source(const fs::path& directory)
      : directory_(directory),
        manifest_(read_manifest(directory)),
        reader_(directory, static_cast<int64_t>(manifest_.block_bytes())) {
    for (const auto& tensor : manifest_.tensors()) tensors_[tensor.name()] = &tensor;
    for (const auto& file : manifest_.files()) files_[file.name()] = &file;
    if (!manifest_.run().finetune().has_lora()) return;
    const fs::path base = fs::absolute(directory).parent_path().parent_path() / base_name;
    require(fs::exists(base),
            "{} holds adapters, and the weights they belong to are missing: they lie in {} of its "
            "run; keep them together",
            directory.string(), base_name);
    base_ = std::make_unique<Source>(find_checkpoint(base));
  }

  bool weights_only() const { return manifest_.weights_only(); }

  void load(const Piece& piece, std::span<float> to) {
    const auto found = tensors_.find(piece.name);
    if (found == tensors_.end() && base_) return load_adapted(piece, to);
    require_usage(found != tensors_.end(), "{} has no tensor {}: it is of another model",
                  directory_.string(), piece.name);
    const CheckpointTensor& tensor = *found->second;
    require_usage(shape_of(tensor) == piece.global,
                  "{} has {} of shape {}, this model wants {}: it is of another model",
                  directory_.string(), piece.name, to_string(shape_of(tensor)),
                  to_string(piece.global));
    if (weights_only() && piece.what != Piece::What::master) {
      std::ranges::fill(to, 0.0f);
      return;
    }
    for (const CheckpointPart& part : tensor.parts()) {
      if (part.state() != state_of(piece.what)) continue;
      const Box box = box_of(part);
      if (const auto shared = intersect(box, piece.box)) copy(part, box, *shared, piece.box, to);
    }
  }

 private:
  // W + scale B A, where W is of the base and this checkpoint has its adapter; else W.
  void load_adapted(const Piece& piece, std::span<float> to) {
    base_->load(piece, to);
    const std::string name = piece.name.substr(0, piece.name.rfind('.'));
    const bool adapted = piece.name.ends_with(".weight") && tensors_.contains(name + ".lora_a");
    if (piece.what != Piece::What::master || !adapted) return;
    const LoraSpec& lora = manifest_.run().finetune().lora();
    const int64_t rank = lora.rank(), rows = piece.box.extent[0], columns = piece.box.extent[1];
    const auto factor = [&](const char* which, Shape global, Box box) {
      std::vector<float> values(static_cast<size_t>(box.elements()));
      load({Piece::What::master, name + which, global, std::move(box), {}, false}, values);
      return values;
    };
    const auto a =
        factor(".lora_a", {rank, piece.global[1]}, {{0, piece.box.begin[1]}, {rank, columns}});
    const auto b =
        factor(".lora_b", {piece.global[0], rank}, {{piece.box.begin[0], 0}, {rows, rank}});
    add_product(b.data(), a.data(), rows, rank, columns, lora.alpha() / static_cast<float>(rank),
                to.data());
  }

  // Reads the rows (along the first axis) of the part that hold something of `shared`.
  void copy(const CheckpointPart& part, const Box& box, const Box& shared, const Box& target,
            std::span<float> to) {
    Box rows = box;
    rows.begin[0] = shared.begin[0];
    rows.extent[0] = shared.extent[0];
    const int64_t begin =
        (rows.begin[0] - box.begin[0]) * (bytes_of(part) / std::max<int64_t>(1, box.extent[0]));
    const std::byte* from = reader_.read(*files_.at(part.file()), part, begin,
                                         begin + rows.elements() * bytes_of(DType::f32));
    copy_box(shared, rows, from, target, std::as_writable_bytes(to).data(), bytes_of(DType::f32));
  }

  fs::path directory_;
  CheckpointManifest manifest_;
  PartReader reader_;
  std::map<std::string, const CheckpointTensor*> tensors_;
  std::map<std::string, const CheckpointFile*> files_;
  std::unique_ptr<Source> base_;  // of adapters: the weights beside which they were trained
};

// What is wrong with the size or the head of a file, or nothing.
void verify_file(const CheckpointFile& entry, PartReader& reader) {
  const FileReader& file = reader.open(entry.name());
  require(static_cast<uint64_t>(file.bytes()) == entry.bytes(), "{} has {} bytes, not {}",
          file.path().string(), file.bytes(), entry.bytes());
  std::string head(entry.head_bytes(), '\0');
  file.read(0, std::as_writable_bytes(std::span(head)));
  require(checksum(head) == entry.head_xxh3(),
          "{} is damaged: its first {} bytes do not have the checksum that was written",
          file.path().string(), head.size());
}

}  // namespace

CheckpointInfo read_checkpoint_info(const fs::path& directory) {
  return to_info(read_manifest(directory), directory);
}

void load_checkpoint(const fs::path& directory, std::span<const Piece> wanted, Backend& backend) {
  Source source(directory);
  if (source.weights_only() && std::ranges::any_of(wanted, [](const Piece& piece) {
        return piece.what != Piece::What::master;
      }))
    spdlog::info("{} holds weights alone: the optimizer's moments start at zero",
                 directory.string());
  std::vector<float> host;
  for (const Piece& piece : wanted) {
    host.resize(static_cast<size_t>(piece.box.elements()));
    require(contains(piece.global, piece.box), "box {} of {} is outside its shape {}",
            to_string(piece.box), piece.name, to_string(piece.global));
    source.load(piece, host);
    backend.upload(host.data(), piece.data);
  }
}

std::vector<std::string> verify_checkpoint(const fs::path& directory) {
  std::vector<std::string> defects;
  const auto check = [&](const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      defects.push_back(error.what());
    }
  };
  check([&] {
    const CheckpointManifest manifest = read_manifest(directory);
    PartReader reader(directory, static_cast<int64_t>(manifest.block_bytes()));
    std::map<std::string, const CheckpointFile*> files;
    for (const CheckpointFile& file : manifest.files()) {
      files[file.name()] = &file;
      check([&] { verify_file(file, reader); });
    }
    for (const CheckpointTensor& tensor : manifest.tensors())
      for (const CheckpointPart& part : tensor.parts())
        check([&] { reader.read(*files.at(part.file()), part, 0, bytes_of(part)); });
  });
  return defects;
}

}  // namespace katman
