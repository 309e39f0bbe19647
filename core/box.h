// A hyper-rectangle in a global tensor: the one description of a shard that everything shares.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace katman {

struct Box {
  std::vector<int64_t> begin, extent;  // [axis]

  static Box whole(const Shape& global);
  int rank() const { return static_cast<int>(extent.size()); }
  int64_t elements() const;
  Shape shape() const { return Shape(std::span(extent)); }
  bool operator==(const Box&) const = default;
};

std::string to_string(const Box& box);  // "[0:768, 256:512]"
bool contains(const Shape& global, const Box& box);
// What two boxes share, or nothing.
std::optional<Box> intersect(const Box& a, const Box& b);

// Part `index` of `parts` of `box` along `axis`; the extent must be divisible.
Box cut(const Box& box, int axis, int index, int parts);

// Elements [begin, end) of `box` in row-major order, as the fewest boxes in order: a flat slice of
// a bucket is at most 2 * rank - 1 of them.
std::vector<Box> boxes_of_range(const Box& box, int64_t begin, int64_t end);

// Copies the elements of `part` (inside both) from a row-major array over `from` to one over `to`.
void copy_box(const Box& part, const Box& from, const std::byte* source, const Box& to,
              std::byte* target, int64_t element_bytes);

}  // namespace katman
