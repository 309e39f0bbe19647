#include "parallel/checkpoint/hf_weights.h"

#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/hf_tensors.h"
#include "parallel/checkpoint/safetensors.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
using Shard = std::vector<HfTensor>;

constexpr const char* whole_file = "model.safetensors";
constexpr const char* index_file = "model.safetensors.index.json";

int64_t elements_of(const HfTensor& tensor) { return tensor.outputs * tensor.inputs(); }
int64_t f32_bytes(const HfTensor& tensor) { return elements_of(tensor) * bytes_of(DType::f32); }

// Calls copy(index in ours, index in theirs) for every element of theirs.
template <class Copy>
void for_each_element(const GptConfig& c, const HfTensor& tensor, Copy copy) {
  const int64_t inputs = tensor.inputs();
  for (int64_t output = 0; output < tensor.outputs; ++output) {
    const int64_t row = tensor.our_row(c, output) * inputs;
    for (int64_t input = 0; input < inputs; ++input)
      copy(row + input,
           tensor.transposed ? input * tensor.outputs + output : output * inputs + input);
  }
}

Piece whole_piece(const HfTensor& tensor, const Tensor& data) {
  Piece piece;
  piece.name = tensor.ours;
  piece.global = tensor.shape;
  piece.box = Box::whole(tensor.shape);
  piece.data = data;
  piece.owned = true;
  return piece;
}

// --- writing

// Consecutive tensors, as many as fit.
std::vector<Shard> in_shards(std::vector<HfTensor> tensors, int64_t shard_bytes) {
  std::vector<Shard> shards(1);
  int64_t bytes = 0;
  for (HfTensor& tensor : tensors) {
    if (!shards.back().empty() && bytes + f32_bytes(tensor) > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += f32_bytes(tensor);
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

// Our tensors of a checkpoint, the last one kept: neighbours among theirs share one of ours.
class OurTensors {
 public:
  OurTensors(const fs::path& checkpoint) : checkpoint_(checkpoint) {}

  const float* read(const HfTensor& tensor) {
    if (name_ == tensor.ours) return data_.data<float>();
    data_ = {};
    data_ = backend_->empty({tensor.shape.elements()}, DType::f32);
    const Piece piece = whole_piece(tensor, data_);
    load_checkpoint(checkpoint_, {&piece, 1}, *backend_);
    name_ = tensor.ours;
    return data_.data<float>();
  }

 private:
  fs::path checkpoint_;
  std::unique_ptr<Backend> backend_ = make_backend("reference");
  std::string name_;
  Tensor data_;
};

void write_shard(const GptConfig& c, const Shard& shard, OurTensors& ours, const Files& files,
                 const fs::path& path) {
  std::vector<SafeTensor> tensors;
  for (const HfTensor& tensor : shard)
    tensors.push_back({tensor.theirs, "F32", tensor.their_shape(), 0, 0});
  const std::string head = safetensors_head(tensors, {{"format", "pt"}});
  FileWriter file(files, path);
  file.write(std::as_bytes(std::span(head)));
  for (const HfTensor& tensor : shard) {
    const float* from = ours.read(tensor);
    std::vector<float> theirs(static_cast<size_t>(elements_of(tensor)));
    for_each_element(c, tensor, [&](int64_t mine, int64_t other) {
      theirs[static_cast<size_t>(other)] = from[mine];
    });
    file.write(std::as_bytes(std::span(theirs)));
  }
  file.commit();
}

// --- reading

float from_half(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, sizeof half);
  return static_cast<float>(half);
}

// Element `index` of a tensor in any of the three types.
float element(const std::string& dtype, const std::byte* data, int64_t index) {
  if (dtype == "F32") {
    float value;
    std::memcpy(&value, data + 4 * index, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, sizeof bits);
  return dtype == "F16" ? from_half(bits) : std::bit_cast<float>(uint32_t{bits} << 16);
}

// The safetensors files of a directory, and which of them holds a tensor.
class TheirFiles {
 public:
  explicit TheirFiles(const fs::path& directory) {
    if (fs::exists(directory / index_file)) {
      for (const auto& name : shard_names(directory / index_file)) open(directory / name);
    } else {
      require_safetensors(directory);
      open(directory / whole_file);
    }
  }

  struct Found {
    const FileReader& file;
    int64_t offset;  // in the file
    const SafeTensor& tensor;
  };
  Found find(const HfTensor& wanted) const {
    for (const auto& [path, opened] : files_)
      if (const SafeTensor* tensor = find_in(opened.head, wanted.theirs))
        return {*opened.file, opened.head.bytes + tensor->offset, *tensor};
    fail("{} has no tensor {}", files_.begin()->first.parent_path().string(), wanted.theirs);
  }

 private:
  struct Opened {
    std::unique_ptr<FileReader> file;
    SafeTensorsHead head;
  };

  static std::vector<std::string> shard_names(const fs::path& index) {
    const auto json = Json::parse(read_text(index), nullptr, false);
    require(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(),
            "{} has no weight_map", index.string());
    std::map<std::string, bool> names;
    for (const auto& [tensor, file] : json["weight_map"].items()) {
      const auto name = file.is_string() ? file.get<std::string>() : std::string();
      require(name.ends_with(".safetensors") && fs::path(name).filename() == name,
              "{}: {} lies in {}, which is no safetensors file of this directory", index.string(),
              tensor, file.dump());
      names[name] = true;
    }
    require(!names.empty(), "{} names no file", index.string());
    std::vector<std::string> sorted;
    for (const auto& [name, used] : names) sorted.push_back(name);
    return sorted;
  }

  static void require_safetensors(const fs::path& directory) {
    if (fs::exists(directory / whole_file)) return;
    for (const auto& entry : fs::directory_iterator(directory)) {
      const std::string extension = entry.path().extension().string();
      require_usage(extension != ".bin" && extension != ".pt" && extension != ".pth",
                    "{} is a pickle, which can run code when it is read, and there is no {} beside "
                    "it: only safetensors are imported; transformers' save_pretrained makes them",
                    entry.path().string(), whole_file);
    }
    throw UsageError(
        fmt::format("{} has neither {} nor {}", directory.string(), whole_file, index_file));
  }

  void open(const fs::path& path) {
    Opened opened{std::make_unique<FileReader>(path), {}};
    opened.head = read_safetensors_head(*opened.file);
    files_.emplace(path, std::move(opened));
  }

  // The hub's own files were often saved from the model without its head.
  static const SafeTensor* find_in(const SafeTensorsHead& head, const std::string& name) {
    if (const SafeTensor* found = head.find(name)) return found;
    for (const std::string prefix : {"transformer.", "model."})
      if (name.starts_with(prefix)) return head.find(name.substr(prefix.size()));
    return nullptr;
  }

  std::map<fs::path, Opened> files_;
};

void read_into(const TheirFiles& files, const GptConfig& c, const HfTensor& tensor, float* ours) {
  const auto [file, offset, theirs] = files.find(tensor);
  require(theirs.shape == tensor.their_shape(), "{}: {} has another shape than config.json says",
          file.path().string(), theirs.name);
  require_usage(theirs.dtype == "F32" || theirs.dtype == "F16" || theirs.dtype == "BF16",
                "{}: {} is in {}; only F32, F16 and BF16 can be imported", file.path().string(),
                theirs.name, theirs.dtype);
  std::vector<std::byte> bytes(static_cast<size_t>(theirs.bytes));
  file.read(offset, bytes);
  for_each_element(c, tensor, [&](int64_t mine, int64_t other) {
    ours[mine] = element(theirs.dtype, bytes.data(), other);
  });
}

}  // namespace

void write_hf_weights(const fs::path& checkpoint, const GptConfig& c, const Files& files,
                      const fs::path& directory, int64_t shard_bytes) {
  const auto shards = in_shards(hf_tensors(c), shard_bytes);
  OurTensors ours(checkpoint);
  if (shards.size() == 1) return write_shard(c, shards[0], ours, files, directory / whole_file);
  int64_t total = 0;
  Json map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const auto name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_shard(c, shards[i], ours, files, directory / name);
    for (const HfTensor& tensor : shards[i]) {
      map[tensor.theirs] = name;
      total += f32_bytes(tensor);
    }
  }
  files.write(directory / index_file,
              Json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + "\n");
}

std::vector<Piece> read_hf_weights(const fs::path& directory, const GptConfig& c,
                                   Backend& backend) {
  const TheirFiles files(directory);
  std::vector<Piece> pieces;
  for (const HfTensor& tensor : hf_tensors(c)) {
    if (pieces.empty() || pieces.back().name != tensor.ours)
      pieces.push_back(whole_piece(tensor, backend.empty({tensor.shape.elements()}, DType::f32)));
    read_into(files, c, tensor, pieces.back().data.data<float>());
  }
  return pieces;
}

}  // namespace katman
