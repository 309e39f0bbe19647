// The safetensors format (github.com/huggingface/safetensors): eight bytes that count the bytes of
// a JSON object, that object, then the tensors back to back. Nothing in it can be executed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "parallel/checkpoint/files.h"

namespace katman {

struct SafeTensor {
  std::string name;
  std::string dtype;              // "F32", "BF16", "F16", ... as the file spells it
  std::vector<int64_t> shape;     // any number of extents, unlike our own tensors
  int64_t offset = 0, bytes = 0;  // behind the head
};

// Everything before the data.
struct SafeTensorsHead {
  std::vector<SafeTensor> tensors;  // in the order of the data, without gaps
  std::map<std::string, std::string> metadata;
  int64_t bytes = 0;  // of the head itself: the data begins here

  const SafeTensor* find(const std::string& name) const;
};

// Bytes of one element, 0 for a type that the format does not know.
int64_t safetensors_element_bytes(const std::string& dtype);

// The first bytes of a file that holds `tensors` in this order; their offset and bytes are ignored
// and follow from type and shape. Padded with spaces, so that the data begins on a cache line.
std::string safetensors_head(const std::vector<SafeTensor>& tensors,
                             const std::map<std::string, std::string>& metadata);

// Reads and checks: sizes within the file, types known, every byte of data in exactly one tensor.
// Throws Error that names the file and the defect.
SafeTensorsHead read_safetensors_head(const FileReader& file);

}  // namespace katman
