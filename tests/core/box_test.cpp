#include "core/box.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/random.h"

namespace katman {
namespace {

// Row-major positions of `part` in an array over `box`, in order.
std::vector<int64_t> positions(const Box& part, const Box& box) {
  std::vector<int64_t> found;
  for (int64_t element = 0; element < part.elements(); ++element) {
    int64_t rest = element, position = 0, stride = 1;
    for (size_t axis = box.extent.size(); axis-- > 0;) {
      const int64_t at = part.begin[axis] + rest % part.extent[axis] - box.begin[axis];
      rest /= part.extent[axis];
      EXPECT_TRUE(at >= 0 && at < box.extent[axis]) << to_string(part) << to_string(box);
      position += at * stride;
      stride *= box.extent[axis];
    }
    found.push_back(position);
  }
  return found;
}

// Whether elements [begin, end) of `box` are one box: every end of a run of equal coordinates must
// be whole below the first axis where the two ends differ.
bool is_one_box(const Box& box, int64_t begin, int64_t end) {
  std::vector<int64_t> first(box.extent.size()), last(box.extent.size());
  int64_t a = begin, b = end - 1;
  for (size_t axis = box.extent.size(); axis-- > 0;) {
    first[axis] = a % box.extent[axis];
    last[axis] = b % box.extent[axis];
    a /= box.extent[axis];
    b /= box.extent[axis];
  }
  int64_t product = 1;
  for (size_t axis = 0; axis < first.size(); ++axis) {
    if (last[axis] < first[axis]) return false;
    product *= last[axis] - first[axis] + 1;
  }
  return product == end - begin;
}

// The fewest boxes, by dynamic programming over every way to split the range.
size_t fewest(const Box& box, int64_t begin, int64_t end) {
  std::vector<size_t> best(static_cast<size_t>(end - begin) + 1, 0);
  for (int64_t to = begin + 1; to <= end; ++to) {
    size_t least = SIZE_MAX;
    for (int64_t from = begin; from < to; ++from)
      if (is_one_box(box, from, to))
        least = std::min(least, best[static_cast<size_t>(from - begin)] + 1);
    best[static_cast<size_t>(to - begin)] = least;
  }
  return best.back();
}

Box random_box(Key key, int rank, int64_t largest) {
  Box box;
  for (int axis = 0; axis < rank; ++axis) {
    const auto i = static_cast<uint64_t>(axis);
    box.begin.push_back(static_cast<int64_t>(random_bits(key.at("begin"), i) % 5));
    box.extent.push_back(1 + static_cast<int64_t>(random_bits(key.at("extent"), i) %
                                                  static_cast<uint64_t>(largest)));
  }
  return box;
}

TEST(Box, every_range_is_covered_exactly_in_order_by_the_fewest_boxes) {
  for (uint64_t trial = 0; trial < 24; ++trial) {
    const int rank = 1 + static_cast<int>(trial % 4);
    const Box box = random_box(Key(7).at(trial), rank, rank == 4 ? 3 : 4);
    for (int64_t begin = 0; begin <= box.elements(); ++begin) {
      for (int64_t end = begin; end <= box.elements(); ++end) {
        const auto parts = boxes_of_range(box, begin, end);
        std::vector<int64_t> covered, expected(static_cast<size_t>(end - begin));
        std::iota(expected.begin(), expected.end(), begin);
        for (const Box& part : parts)
          for (int64_t position : positions(part, box)) covered.push_back(position);
        ASSERT_EQ(covered, expected) << to_string(box) << " [" << begin << ", " << end << ")";
        ASSERT_LE(parts.size(), static_cast<size_t>(2 * rank - 1));
        ASSERT_EQ(parts.size(), fewest(box, begin, end))
            << to_string(box) << " [" << begin << ", " << end << ")";
      }
    }
  }
}

TEST(Box, an_intersection_is_exactly_what_both_contain) {
  for (uint64_t trial = 0; trial < 200; ++trial) {
    const int rank = 1 + static_cast<int>(trial % 4);
    const Box a = random_box(Key(1).at(trial), rank, 5), b = random_box(Key(2).at(trial), rank, 5);
    const auto shared = intersect(a, b);
    EXPECT_EQ(shared, intersect(b, a));
    int64_t count = 1;
    for (size_t axis = 0; axis < a.extent.size(); ++axis) {
      int64_t along = 0;
      for (int64_t i = a.begin[axis]; i < a.begin[axis] + a.extent[axis]; ++i)
        along += i >= b.begin[axis] && i < b.begin[axis] + b.extent[axis];
      count *= along;
    }
    EXPECT_EQ(shared ? shared->elements() : 0, count) << to_string(a) << to_string(b);
  }
}

TEST(Box, pieces_copied_through_another_cut_give_back_the_tensor) {
  for (uint64_t trial = 0; trial < 40; ++trial) {
    const int rank = 1 + static_cast<int>(trial % 4);
    Box whole = random_box(Key(3).at(trial), rank, 3);
    for (auto& begin : whole.begin) begin = 0;
    for (auto& extent : whole.extent) extent *= 6;
    std::vector<int32_t> source(static_cast<size_t>(whole.elements()));
    std::iota(source.begin(), source.end(), 1);
    const int from_axis = static_cast<int>(trial) % rank, to_axis = (from_axis + 1) % rank;

    std::vector<int32_t> back(source.size(), 0);
    for (int i = 0; i < 3; ++i) {
      const Box to = cut(whole, to_axis, i, 3);
      std::vector<int32_t> piece(static_cast<size_t>(to.elements()), 0);
      for (int j = 0; j < 2; ++j) {
        const Box from = cut(whole, from_axis, j, 2);
        std::vector<int32_t> held(static_cast<size_t>(from.elements()));
        copy_box(from, whole, reinterpret_cast<std::byte*>(source.data()), from,
                 reinterpret_cast<std::byte*>(held.data()), 4);
        if (const auto shared = intersect(from, to))
          copy_box(*shared, from, reinterpret_cast<std::byte*>(held.data()), to,
                   reinterpret_cast<std::byte*>(piece.data()), 4);
      }
      copy_box(to, to, reinterpret_cast<std::byte*>(piece.data()), whole,
               reinterpret_cast<std::byte*>(back.data()), 4);
    }
    EXPECT_EQ(back, source) << to_string(whole);
  }
}

TEST(Box, a_cut_that_does_not_divide_is_refused) {
  EXPECT_THROW((void)cut(Box::whole({10, 4}), 0, 0, 3), Error);
  EXPECT_EQ(to_string(cut(Box::whole({10, 4}), 1, 1, 2)), "[0:10, 2:4]");
}

TEST(Box, a_box_outside_its_tensor_is_not_contained) {
  EXPECT_TRUE(contains({4, 4}, Box{{2, 0}, {2, 4}}));
  EXPECT_FALSE(contains({4, 4}, Box{{2, 0}, {3, 4}}));
  EXPECT_FALSE(contains({4, 4}, Box{{-1, 0}, {2, 4}}));
  EXPECT_FALSE(contains({4, 4}, Box{{0}, {4}}));
  EXPECT_FALSE(contains({4}, Box{{1}, {INT64_MAX}}));
}

TEST(Box, copying_outside_either_box_is_refused) {
  std::vector<std::byte> bytes(16);
  EXPECT_THROW(copy_box(Box{{0}, {5}}, Box{{0}, {4}}, bytes.data(), Box{{0}, {8}}, bytes.data(), 1),
               Error);
}

}  // namespace
}  // namespace katman
