// A typed, shaped, row-major window on one device buffer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "core/bf16.h"
#include "core/error.h"

namespace katman {

enum class DType : uint8_t { f32, bf16, i32, u8 };

constexpr int64_t bytes_of(DType type) {
  return type == DType::u8 ? 1 : type == DType::bf16 ? 2 : 4;
}
const char* name_of(DType type);  // as safetensors spells it: F32, BF16, I32, U8

// Up to four extents, outermost first. The product of none is 1.
class Shape {
 public:
  static constexpr int max_rank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents)
      : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[static_cast<size_t>(axis)]; }
  int64_t elements() const;
  std::span<const int64_t> extents() const { return {extents_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, max_rank> extents_{};
  int rank_ = 0;
};
std::string to_string(const Shape& shape);  // "[8, 1024, 768]"

// Memory on one device. The deleter of the shared_ptr that holds it gives it back to its pool.
struct Buffer {
  std::byte* data = nullptr;
  int64_t bytes = 0;
};

// Always contiguous; a copy shares the buffer; the elements are mutable through a const Tensor, as
// through a const pointer. An empty Tensor (no buffer) stands for "none".
class Tensor {
 public:
  Tensor() = default;
  // A window on the first `shape.elements()` elements of `buffer` behind `offset_bytes`.
  Tensor(std::shared_ptr<Buffer> buffer, int64_t offset_bytes, Shape shape, DType dtype);

  explicit operator bool() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t extent(int axis) const { return shape_[axis]; }
  DType dtype() const { return dtype_; }
  int64_t elements() const { return shape_.elements(); }
  int64_t bytes() const { return elements() * bytes_of(dtype_); }

  // Rows [begin, begin + count) along the first extent.
  Tensor slice(int64_t begin, int64_t count) const;
  // The same elements in another shape.
  Tensor view(Shape shape) const;
  // The same elements as one row: [elements].
  Tensor flat() const { return view({elements()}); }

  std::byte* raw() const { return data_; }
  // A pointer to the first element; throws when T is not the tensor's type.
  template <class T>
  T* data() const;

 private:
  std::shared_ptr<Buffer> buffer_;
  std::byte* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
};

template <class T>
struct dtype_of;
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of<uint8_t> {
  static constexpr DType value = DType::u8;
};

template <class T>
T* Tensor::data() const {
  require(dtype_of<T>::value == dtype_, "a {} tensor {} was read as {}", name_of(dtype_),
          to_string(shape_), name_of(dtype_of<T>::value));
  return reinterpret_cast<T*>(data_);
}

}  // namespace katman
