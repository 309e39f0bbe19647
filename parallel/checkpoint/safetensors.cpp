#include "parallel/checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace katman {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr int64_t length_bytes = 8;
constexpr int64_t longest_head = 100 << 20;  // the limit of the format's own library
constexpr int64_t alignment = 64;

// The product, or -1 when it does not fit.
int64_t bytes_of_tensor(const std::vector<int64_t>& shape, int64_t element_bytes) {
  int64_t bytes = element_bytes;
  for (const int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) return -1;
  return bytes;
}

bool all_counts(const json& array) {
  return array.is_array() && std::ranges::all_of(array, [](const json& number) {
           return number.is_number_unsigned() &&
                  number.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
         });
}

SafeTensor parse_tensor(const std::string& name, const json& entry, const std::string& file) {
  const auto defect = [&](std::string_view what) {
    fail("{} is not a safetensors file that can be read: tensor '{}' {}", file, name, what);
  };
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string())
    defect("has no dtype");
  if (!entry.contains("shape") || !all_counts(entry["shape"])) defect("has no shape");
  if (!entry.contains("data_offsets") || !all_counts(entry["data_offsets"]) ||
      entry["data_offsets"].size() != 2)
    defect("has no data_offsets");
  SafeTensor tensor{name, entry["dtype"], entry["shape"], entry["data_offsets"][0], 0};
  const int64_t end = entry["data_offsets"][1], element = safetensors_element_bytes(tensor.dtype);
  if (element == 0) defect("has an unknown dtype");
  tensor.bytes = bytes_of_tensor(tensor.shape, element);
  if (end < tensor.offset || tensor.bytes != end - tensor.offset)
    defect("has a shape that does not fit its data_offsets");
  return tensor;
}

std::map<std::string, std::string> parse_metadata(const json& entry, const std::string& file) {
  std::map<std::string, std::string> metadata;
  require(entry.is_object(), "{}: __metadata__ is not an object of strings", file);
  for (const auto& [key, value] : entry.items()) {
    require(value.is_string(), "{}: __metadata__ is not an object of strings", file);
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// Sorts the tensors by place and finds that they fill `data_bytes` without gap or overlap.
void check_places(std::vector<SafeTensor>& tensors, int64_t data_bytes, const std::string& file) {
  std::ranges::sort(tensors, [](const SafeTensor& a, const SafeTensor& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  int64_t end = 0;
  for (const SafeTensor& tensor : tensors) {
    require(
        tensor.offset == end,
        "{} is damaged: tensor '{}' begins at byte {} of the data, where the one before it ends "
        "at {}",
        file, tensor.name, tensor.offset, end);
    end += tensor.bytes;  // no overflow: each lies between offsets that do not
  }
  require(end == data_bytes, "{} is {}: its tensors take {} bytes, {} are there", file,
          end > data_bytes ? "cut short" : "damaged", end, data_bytes);
}

}  // namespace

const SafeTensor* SafeTensorsHead::find(const std::string& name) const {
  const auto found = std::ranges::find(tensors, name, &SafeTensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

int64_t safetensors_element_bytes(const std::string& dtype) {
  static const std::map<std::string, int64_t> bytes = {
      {"F64", 8},     {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1},
      {"F8_E5M2", 1}, {"I64", 8}, {"I32", 4}, {"I16", 2},  {"I8", 1},
      {"U64", 8},     {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}};
  const auto found = bytes.find(dtype);
  return found == bytes.end() ? 0 : found->second;
}

std::string safetensors_head(const std::vector<SafeTensor>& tensors,
                             const std::map<std::string, std::string>& metadata) {
  json head = json::object();
  if (!metadata.empty()) head["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const SafeTensor& tensor : tensors) {
    const int64_t end =
        offset + bytes_of_tensor(tensor.shape, safetensors_element_bytes(tensor.dtype));
    head[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text(length_bytes, '\0');
  text += head.dump();
  text.resize((text.size() + alignment - 1) / alignment * alignment, ' ');
  const uint64_t length = text.size() - length_bytes;
  std::memcpy(text.data(), &length, length_bytes);
  return text;
}

SafeTensorsHead read_safetensors_head(const FileReader& file) {
  const std::string name = file.path().string();
  require(file.bytes() >= length_bytes, "{} is cut short: {} bytes are no safetensors file", name,
          file.bytes());
  uint64_t length = 0;
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  require(length <= static_cast<uint64_t>(std::min(file.bytes() - length_bytes, longest_head)),
          "{} is not a safetensors file that can be read: its head would take {} of {} bytes", name,
          length, file.bytes());
  std::string text(length, '\0');
  file.read(length_bytes, std::as_writable_bytes(std::span(text)));
  const json parsed = json::parse(text, nullptr, false);
  require(parsed.is_object(), "{} is damaged: its head is not a JSON object", name);
  SafeTensorsHead head;
  head.bytes = length_bytes + static_cast<int64_t>(length);
  for (const auto& [key, entry] : parsed.items()) {
    if (key == "__metadata__") {
      head.metadata = parse_metadata(entry, name);
    } else {
      head.tensors.push_back(parse_tensor(key, entry, name));
    }
  }
  check_places(head.tensors, file.bytes() - head.bytes, name);
  return head;
}

}  // namespace katman
