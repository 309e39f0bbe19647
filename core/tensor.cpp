#include "core/tensor.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace katman {

const char* name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::i32:
      return "I32";
    case DType::u8:
      return "U8";
  }
  return "?";
}

Shape::Shape(std::span<const int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  require(rank_ <= max_rank, "a tensor has at most {} extents, not {}", max_rank, rank_);
  std::copy(extents.begin(), extents.end(), extents_.begin());
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int64_t extent : extents()) product *= extent;
  return product;
}

bool Shape::operator==(const Shape& other) const {
  return std::ranges::equal(extents(), other.extents());
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.extents(), ", "));
}

Tensor::Tensor(std::shared_ptr<Buffer> buffer, int64_t offset_bytes, Shape shape, DType dtype)
    : buffer_(std::move(buffer)), shape_(shape), dtype_(dtype) {
  require(offset_bytes >= 0 && offset_bytes + bytes() <= buffer_->bytes,
          "a {} tensor {} does not fit into {} bytes at offset {}", name_of(dtype),
          to_string(shape), buffer_->bytes, offset_bytes);
  data_ = buffer_->data + offset_bytes;
}

Tensor Tensor::slice(int64_t begin, int64_t count) const {
  require(shape_.rank() > 0 && begin >= 0 && count >= 0 && begin + count <= shape_[0],
          "rows [{}, {}) are outside a tensor {}", begin, begin + count, to_string(shape_));
  std::array<int64_t, Shape::max_rank> extents{};
  std::ranges::copy(shape_.extents(), extents.begin());
  const int64_t row_bytes = shape_[0] ? bytes() / shape_[0] : 0;
  extents[0] = count;
  Tensor part = *this;
  part.shape_ = Shape(std::span(extents.data(), static_cast<size_t>(shape_.rank())));
  part.data_ = data_ + begin * row_bytes;
  return part;
}

Tensor Tensor::view(Shape shape) const {
  require(shape.elements() == elements(), "a tensor {} cannot be seen as {}", to_string(shape_),
          to_string(shape));
  Tensor other = *this;
  other.shape_ = shape;
  return other;
}

}  // namespace katman
