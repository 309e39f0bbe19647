#include "core/box.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace katman {
namespace {

// Elements between neighbours along each axis of a row-major array. [axis]
std::vector<int64_t> strides_of(const Box& box) {
  std::vector<int64_t> strides(box.extent.size(), 1);
  for (size_t axis = strides.size(); axis-- > 1;)
    strides[axis - 1] = strides[axis] * box.extent[axis];
  return strides;
}

// Where the first element of `part` lies in a row-major array over `box`.
int64_t offset_of(const Box& part, const Box& box) {
  const auto strides = strides_of(box);
  int64_t offset = 0;
  for (size_t axis = 0; axis < strides.size(); ++axis)
    offset += (part.begin[axis] - box.begin[axis]) * strides[axis];
  return offset;
}

// Appends elements [begin, end) of the rows below `axis` of `box`, a range inside one index of
// every axis before it: a partial first row, whole rows, a partial last row.
void append_range(const Box& box, size_t axis, int64_t begin, int64_t end,
                  std::vector<Box>& boxes) {
  if (begin >= end) return;
  if (axis == box.extent.size()) {
    boxes.push_back(box);
    return;
  }
  int64_t row = 1;
  for (size_t inner = axis + 1; inner < box.extent.size(); ++inner) row *= box.extent[inner];
  const auto rows = [&](int64_t first, int64_t count) {
    Box part = box;
    part.begin[axis] += first;
    part.extent[axis] = count;
    return part;
  };
  const int64_t first_whole = (begin + row - 1) / row, last_whole = end / row;
  if (first_whole > last_whole) {  // inside one row
    append_range(rows(last_whole, 1), axis + 1, begin - last_whole * row, end - last_whole * row,
                 boxes);
    return;
  }
  if (begin < first_whole * row)
    append_range(rows(first_whole - 1, 1), axis + 1, begin - (first_whole - 1) * row, row, boxes);
  if (first_whole < last_whole) boxes.push_back(rows(first_whole, last_whole - first_whole));
  if (last_whole * row < end)
    append_range(rows(last_whole, 1), axis + 1, 0, end - last_whole * row, boxes);
}

}  // namespace

Box Box::whole(const Shape& global) {
  Box box;
  box.extent.assign(global.extents().begin(), global.extents().end());
  box.begin.assign(box.extent.size(), 0);
  return box;
}

int64_t Box::elements() const {
  return std::accumulate(extent.begin(), extent.end(), int64_t{1}, std::multiplies<>());
}

std::string to_string(const Box& box) {
  std::string text = "[";
  for (size_t axis = 0; axis < box.extent.size(); ++axis)
    text += fmt::format("{}{}:{}", axis ? ", " : "", box.begin[axis],
                        box.begin[axis] + box.extent[axis]);
  return text + "]";
}

bool contains(const Shape& global, const Box& box) {
  if (global.rank() != box.rank() || box.begin.size() != box.extent.size()) return false;
  for (int axis = 0; axis < global.rank(); ++axis) {
    const auto i = static_cast<size_t>(axis);
    if (box.begin[i] < 0 || box.extent[i] < 0 || box.extent[i] > global[axis] - box.begin[i])
      return false;
  }
  return true;
}

std::optional<Box> intersect(const Box& a, const Box& b) {
  require(a.rank() == b.rank(), "boxes {} and {} are not of one tensor", to_string(a),
          to_string(b));
  Box shared = a;
  for (size_t axis = 0; axis < a.extent.size(); ++axis) {
    const int64_t begin = std::max(a.begin[axis], b.begin[axis]);
    const int64_t end = std::min(a.begin[axis] + a.extent[axis], b.begin[axis] + b.extent[axis]);
    if (begin >= end) return std::nullopt;
    shared.begin[axis] = begin;
    shared.extent[axis] = end - begin;
  }
  return shared;
}

Box cut(const Box& box, int axis, int index, int parts) {
  const auto i = static_cast<size_t>(axis);
  require(axis >= 0 && axis < box.rank() && index >= 0 && index < parts,
          "part {} of {} along axis {} of {} does not exist", index, parts, axis, to_string(box));
  require(box.extent[i] % parts == 0, "extent {} of {} cannot be cut into {} equal parts",
          box.extent[i], to_string(box), parts);
  Box part = box;
  part.extent[i] /= parts;
  part.begin[i] += index * part.extent[i];
  return part;
}

std::vector<Box> boxes_of_range(const Box& box, int64_t begin, int64_t end) {
  require(0 <= begin && begin <= end && end <= box.elements(),
          "elements [{}, {}) are outside the {} of {}", begin, end, box.elements(), to_string(box));
  std::vector<Box> boxes;
  append_range(box, 0, begin, end, boxes);
  return boxes;
}

void copy_box(const Box& part, const Box& from, const std::byte* source, const Box& to,
              std::byte* target, int64_t element_bytes) {
  const auto inside = [&](const Box& box) { return intersect(part, box) == part; };
  if (part.elements() == 0) return;
  require(inside(from) && inside(to), "box {} is not inside both {} and {}", to_string(part),
          to_string(from), to_string(to));
  // Trailing axes that are whole on both sides, and the one before them, are one run of memory.
  size_t axis = part.extent.size();
  int64_t run = element_bytes;
  while (axis > 0) {
    --axis;
    run *= part.extent[axis];
    if (part.extent[axis] != from.extent[axis] || part.extent[axis] != to.extent[axis]) break;
  }
  const auto from_strides = strides_of(from), to_strides = strides_of(to);
  source += offset_of(part, from) * element_bytes;
  target += offset_of(part, to) * element_bytes;
  std::vector<int64_t> index(axis, 0);  // [axis before the run]
  for (;;) {
    int64_t source_offset = 0, target_offset = 0;
    for (size_t i = 0; i < axis; ++i) {
      source_offset += index[i] * from_strides[i];
      target_offset += index[i] * to_strides[i];
    }
    std::memcpy(target + target_offset * element_bytes, source + source_offset * element_bytes,
                static_cast<size_t>(run));
    size_t moving = axis;
    while (moving > 0 && ++index[moving - 1] == part.extent[moving - 1]) index[--moving] = 0;
    if (moving == 0) return;
  }
}

}  // namespace katman
