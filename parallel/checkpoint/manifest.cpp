#include "parallel/checkpoint/manifest.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "parallel/checkpoint/model_shape.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr char seal_mark[] = "# xxh3: ";

std::string seal_line(std::string_view body) {
  return fmt::format("{}{:016x}\n", seal_mark, checksum(body));
}

// Keeps the first complaint of the parser instead of printing it.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = fmt::format("line {}, column {}: {}", line + 1, column + 1, message);
  }
  std::string text;
};

// The number of elements of extents that are all positive, or -1.
int64_t volume(const google::protobuf::RepeatedField<int64_t>& extents) {
  int64_t product = 4;
  for (const int64_t extent : extents)
    if (extent <= 0 || __builtin_mul_overflow(product, extent, &product)) return -1;
  return product / 4;
}

using FilesByName = std::map<std::string, const CheckpointFile*>;

FilesByName check_files(const CheckpointManifest& manifest, const std::string& where) {
  FilesByName files;
  for (const CheckpointFile& file : manifest.files()) {
    const fs::path name = file.name();
    require(!file.name().empty() && name.filename() == name && name != ".." && name != ".",
            "{}: '{}' is not the name of a file in this directory", where, file.name());
    require(files.emplace(file.name(), &file).second, "{}: the file {} is listed twice", where,
            file.name());
    require(file.head_bytes() <= file.bytes() && file.bytes() <= INT64_MAX,
            "{}: the file {} cannot have {} bytes", where, file.name(), file.bytes());
  }
  return files;
}

void check_part(const CheckpointPart& part, const CheckpointTensor& tensor,
                const FilesByName& files, uint64_t block_bytes, const std::string& where) {
  const auto defect = [&](const std::string& what) {
    fail("{}: a part of {} {}", where, tensor.name(), what);
  };
  if (part.begin_size() != tensor.shape_size() || part.extent_size() != tensor.shape_size() ||
      volume(part.extent()) < 0)
    defect("has no box");
  for (int axis = 0; axis < part.begin_size(); ++axis)
    if (part.begin(axis) < 0 || part.begin(axis) > tensor.shape(axis) - part.extent(axis))
      defect("lies outside the tensor");
  const auto file = files.find(part.file());
  if (file == files.end()) defect("lies in the file '" + part.file() + "', which is not listed");
  const uint64_t room = file->second->bytes() - file->second->head_bytes();
  const auto bytes = static_cast<uint64_t>(bytes_of(part));
  if (bytes > room || part.offset() > room - bytes) defect("lies outside the file " + part.file());
  if (static_cast<uint64_t>(part.block_xxh3_size()) != (bytes + block_bytes - 1) / block_bytes)
    defect("has no checksum for each of its blocks");
}

// Boxes that do not overlap and have the volume of the whole tile it.
void check_tiling(const CheckpointTensor& tensor, CheckpointPart::State state,
                  const std::string& where) {
  std::vector<Box> boxes;
  int64_t covered = 0;
  for (const CheckpointPart& part : tensor.parts()) {
    if (part.state() != state) continue;
    boxes.push_back(box_of(part));
    covered += boxes.back().elements();
  }
  std::ranges::sort(boxes, {}, &Box::begin);
  for (size_t i = 0; i < boxes.size(); ++i) {
    const int64_t end = boxes[i].begin[0] + boxes[i].extent[0];
    for (size_t j = i + 1; j < boxes.size() && boxes[j].begin[0] < end; ++j)
      require(!intersect(boxes[i], boxes[j]), "{}: {} of {} has two values for {} and {}", where,
              name_of(what_of(state)), tensor.name(), to_string(boxes[i]), to_string(boxes[j]));
  }
  const int64_t whole = shape_of(tensor).elements();
  require(covered == whole, "{}: {} of {} has only {} of its {} elements", where,
          name_of(what_of(state)), tensor.name(), covered, whole);
}

}  // namespace

std::string seal(const google::protobuf::Message& message) {
  std::string body;
  google::protobuf::TextFormat::PrintToString(message, &body);
  return body + seal_line(body);
}

void unseal(const std::string& text, const fs::path& file, google::protobuf::Message& message) {
  const size_t mark = text.rfind(seal_mark);
  require(mark != std::string::npos && (mark == 0 || text[mark - 1] == '\n'),
          "{} is cut short: its last line is no checksum", file.string());
  const std::string body = text.substr(0, mark);
  require(text.substr(mark) == seal_line(body),
          "{} is damaged: its text does not have the checksum in its last line", file.string());
  google::protobuf::TextFormat::Parser parser;
  FirstError error;
  parser.RecordErrorsTo(&error);
  require(parser.ParseFromString(body, &message),
          "{} was written by another version of the program: {}", file.string(), error.text);
}

CheckpointManifest read_manifest(const fs::path& directory) {
  const fs::path file = directory / manifest_name;
  require(fs::exists(file), "{} is not a whole checkpoint: it has no {}", directory.string(),
          manifest_name);
  CheckpointManifest manifest;
  unseal(read_text(file), file, manifest);
  check_manifest(manifest, file.string());
  return manifest;
}

void check_manifest(const CheckpointManifest& manifest, const std::string& where) {
  require(manifest.format() == 1, "{} has format {}; this program reads format 1", where,
          manifest.format());
  require(manifest.block_bytes() > 0 && manifest.block_bytes() % 4 == 0 &&
              manifest.block_bytes() <= (1u << 30),
          "{}: blocks of {} bytes cannot be", where, manifest.block_bytes());
  const FilesByName files = check_files(manifest, where);
  std::set<std::string> names;
  for (const CheckpointTensor& tensor : manifest.tensors()) {
    require(names.insert(tensor.name()).second, "{}: the tensor {} is listed twice", where,
            tensor.name());
    require(tensor.shape_size() >= 1 && tensor.shape_size() <= Shape::max_rank &&
                volume(tensor.shape()) > 0,
            "{}: the tensor {} has no shape", where, tensor.name());
    for (const CheckpointPart& part : tensor.parts())
      check_part(part, tensor, files, manifest.block_bytes(), where);
    check_tiling(tensor, CheckpointPart::MASTER, where);
    if (manifest.weights_only()) continue;
    check_tiling(tensor, CheckpointPart::M, where);
    check_tiling(tensor, CheckpointPart::V, where);
  }
}

CheckpointManifest to_manifest(const CheckpointInfo& info) {
  CheckpointManifest manifest;
  manifest.set_format(1);
  manifest.set_producer("katman 0.1.0");
  manifest.set_step(static_cast<uint64_t>(info.step));
  manifest.set_samples_consumed(info.samples_consumed);
  manifest.set_generation(info.generation);
  manifest.set_weights_only(info.weights_only);
  manifest.set_tokenizer_fingerprint(info.tokenizer_fingerprint);
  manifest.mutable_counters()->insert(info.counters.begin(), info.counters.end());
  manifest.mutable_skipped()->Assign(info.skipped.begin(), info.skipped.end());
  *manifest.mutable_model() = to_shape(info.model);
  manifest.mutable_mesh()->set_tp(static_cast<uint32_t>(info.mesh.tp));
  manifest.mutable_mesh()->set_dp(static_cast<uint32_t>(info.mesh.dp));
  manifest.mutable_mesh()->set_pp(static_cast<uint32_t>(info.mesh.pp));
  *manifest.mutable_run() = info.run;
  manifest.set_block_bytes(checksum_block_bytes);
  return manifest;
}

CheckpointInfo to_info(const CheckpointManifest& manifest, const fs::path& directory) {
  CheckpointInfo info;
  info.step = static_cast<int64_t>(manifest.step());
  info.samples_consumed = manifest.samples_consumed();
  info.model = to_config(manifest.model());
  info.run = manifest.run();
  info.mesh = {static_cast<int>(manifest.mesh().tp()), static_cast<int>(manifest.mesh().dp()),
               static_cast<int>(manifest.mesh().pp())};
  info.tokenizer_fingerprint = manifest.tokenizer_fingerprint();
  info.counters = {manifest.counters().begin(), manifest.counters().end()};
  info.skipped = {manifest.skipped().begin(), manifest.skipped().end()};
  info.generation = manifest.generation();
  info.weights_only = manifest.weights_only();
  info.producer = manifest.producer();
  info.directory = directory;
  return info;
}

Shape shape_of(const CheckpointTensor& tensor) {
  return Shape(std::span(tensor.shape().data(), static_cast<size_t>(tensor.shape_size())));
}
Box box_of(const CheckpointPart& part) {
  return {{part.begin().begin(), part.begin().end()}, {part.extent().begin(), part.extent().end()}};
}
int64_t bytes_of(const CheckpointPart& part) { return volume(part.extent()) * 4; }

CheckpointPart::State state_of(Piece::What what) {
  return what == Piece::What::master ? CheckpointPart::MASTER
         : what == Piece::What::m    ? CheckpointPart::M
                                     : CheckpointPart::V;
}
Piece::What what_of(CheckpointPart::State state) {
  return state == CheckpointPart::M   ? Piece::What::m
         : state == CheckpointPart::V ? Piece::What::v
                                      : Piece::What::master;
}

}  // namespace katman
