// Reading checkpoints: any layout from any layout, and nothing that was not checked.
#include <algorithm>
#include <future>
#include <map>
#include <memory>

#include "core/error.h"
#include "core/log.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/manifest.h"
#include "parallel/checkpoint/part_reader.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

// As much is read at a time as a core's cache holds while it is checked and copied.
constexpr int64_t bytes_at_a_time = int64_t{2} << 20;
// Pieces that are read at the same time. One thread reads, checks and copies at about a quarter of
// the memory's speed; each that does not read in place holds as much memory as the largest piece.
constexpr size_t lanes_in_place = 3, lanes_in_memory = 2;

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

// What a checkpoint consists of, by name.
struct Catalogue {
  explicit Catalogue(fs::path checkpoint)
      : directory(std::move(checkpoint)), manifest(read_manifest(directory)) {
    for (const auto& tensor : manifest.tensors()) tensors[tensor.name()] = &tensor;
    for (const auto& file : manifest.files()) files[file.name()] = &file;
    if (!manifest.run().finetune().has_lora()) return;
    const fs::path run = fs::absolute(directory).parent_path().parent_path();
    require(fs::exists(run / base_name),
            "{} holds adapters, and the weights they belong to are missing: they lie in {} of its "
            "run; keep them together",
            directory.string(), base_name);
    base = std::make_unique<Catalogue>(find_checkpoint(run / base_name));
  }
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;

  fs::path directory;
  CheckpointManifest manifest;
  std::map<std::string, const CheckpointTensor*> tensors;
  std::map<std::string, const CheckpointFile*> files;
  std::unique_ptr<Catalogue> base;  // of adapters: the weights beside which they were trained
};

// Loads from a checkpoint. For one thread; the catalogue outlives it.
class Source {
 public:
  explicit Source(const Catalogue& catalogue)
      : catalogue_(catalogue),
        reader_(catalogue.directory, static_cast<int64_t>(catalogue.manifest.block_bytes())) {
    if (catalogue.base) base_ = std::make_unique<Source>(*catalogue.base);
  }

  void load(const Piece& piece, std::span<float> to) {
    const auto found = catalogue_.tensors.find(piece.name);
    if (found == catalogue_.tensors.end() && base_) return load_adapted(piece, to);
    require_usage(found != catalogue_.tensors.end(), "{} has no tensor {}: it is of another model",
                  catalogue_.directory.string(), piece.name);
    const CheckpointTensor& tensor = *found->second;
    require_usage(shape_of(tensor) == piece.global,
                  "{} has {} of shape {}, this model wants {}: it is of another model",
                  catalogue_.directory.string(), piece.name, to_string(shape_of(tensor)),
                  to_string(piece.global));
    if (catalogue_.manifest.weights_only() && piece.what != Piece::What::master) {
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
    const bool adapted =
        piece.name.ends_with(".weight") && catalogue_.tensors.contains(name + ".lora_a");
    if (piece.what != Piece::What::master || !adapted) return;
    const LoraSpec& lora = catalogue_.manifest.run().finetune().lora();
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
    const int64_t row_bytes = bytes_of(part) / std::max<int64_t>(1, box.extent[0]);
    const int64_t rows_at_a_time =
        std::max<int64_t>(1, bytes_at_a_time / std::max<int64_t>(1, row_bytes));
    const int64_t end = shared.begin[0] + shared.extent[0];
    for (int64_t row = shared.begin[0]; row < end; row += rows_at_a_time) {
      Box rows = box;
      rows.begin[0] = row;
      rows.extent[0] = std::min(rows_at_a_time, end - row);
      const int64_t begin = (row - box.begin[0]) * row_bytes;
      const std::byte* from = reader_.read(*catalogue_.files.at(part.file()), part, begin,
                                           begin + rows.extent[0] * row_bytes);
      copy_box(*intersect(shared, rows), rows, from, target, std::as_writable_bytes(to).data(),
               bytes_of(DType::f32));
    }
  }

  const Catalogue& catalogue_;
  PartReader reader_;
  std::unique_ptr<Source> base_;
};

// Reads pieces before they are asked for, several at a time; into their own memory where the host
// may write to it.
class ReadAhead {
 public:
  ReadAhead(const Catalogue& catalogue, std::span<const Piece> wanted, bool in_place)
      : wanted_(wanted), in_place_(in_place) {
    for (size_t i = 0; i < std::min(in_place ? lanes_in_place : lanes_in_memory, wanted.size());
         ++i)
      begin(*lanes_.emplace_back(std::make_unique<Lane>(catalogue)));
  }

  // What the next of the wanted pieces holds; valid until the next call.
  const float* next() {
    if (given_ > 0) begin(lane(given_ - 1));
    Lane& lane = this->lane(given_++);
    lane.full.get();
    return lane.values;
  }

 private:
  struct Lane {
    explicit Lane(const Catalogue& catalogue) : source(catalogue) {}
    Source source;
    std::vector<float> host;
    const float* values = nullptr;
    std::future<void> full;
  };

  Lane& lane(size_t piece) { return *lanes_[piece % lanes_.size()]; }

  void begin(Lane& lane) {
    if (begun_ == wanted_.size()) return;
    lane.full = std::async(std::launch::async, [&, this, &piece = wanted_[begun_++]] {
      require(contains(piece.global, piece.box), "box {} of {} is outside its shape {}",
              to_string(piece.box), piece.name, to_string(piece.global));
      const auto elements = static_cast<size_t>(piece.box.elements());
      if (!in_place_) lane.host.resize(std::max(lane.host.size(), elements));
      float* to = in_place_ ? piece.data.data<float>() : lane.host.data();
      lane.source.load(piece, {to, elements});
      lane.values = to;
    });
  }

  std::span<const Piece> wanted_;
  bool in_place_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  size_t begun_ = 0, given_ = 0;
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

void read_checkpoint(const fs::path& directory, std::span<const Piece> wanted,
                     const PieceTaker& take) {
  const Catalogue catalogue(directory);
  ReadAhead ahead(catalogue, wanted, false);
  for (const Piece& piece : wanted) take(piece, ahead.next());
}

void load_checkpoint(const fs::path& directory, std::span<const Piece> wanted, Backend& backend) {
  const Catalogue catalogue(directory);
  if (catalogue.manifest.weights_only() && std::ranges::any_of(wanted, [](const Piece& piece) {
        return piece.what != Piece::What::master;
      }))
    spdlog::info("{} holds weights alone: the optimizer's moments start at zero",
                 directory.string());
  const bool in_place = backend.queue().on_host();
  ReadAhead ahead(catalogue, wanted, in_place);
  for (const Piece& piece : wanted) {
    const float* values = ahead.next();
    if (!in_place) backend.upload(values, piece.data);
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
