#include "data_pipeline/tokenize/merges.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace katman {
namespace {

std::vector<uint32_t> apply(const MergeTable& table, std::vector<uint32_t> ids) {
  MergeTable::Scratch scratch;
  ids.resize(table.apply(ids, scratch));
  return ids;
}

TEST(Merges, the_lowest_rank_goes_first_and_of_equals_the_leftmost) {
  const MergeTable table(std::vector<Merge>{{1, 2, 10}, {0, 1, 11}, {10, 3, 12}, {5, 5, 13}});
  EXPECT_EQ(apply(table, {0, 1, 2, 3}), (std::vector<uint32_t>{0, 12}));
  EXPECT_EQ(apply(table, {0, 1, 3}), (std::vector<uint32_t>{11, 3}));
  EXPECT_EQ(apply(table, {5, 5, 5}), (std::vector<uint32_t>{13, 5}));
  EXPECT_EQ(apply(table, {4}), (std::vector<uint32_t>{4}));
  EXPECT_EQ(apply(table, {}), (std::vector<uint32_t>{}));
}

TEST(Merges, a_pair_that_is_listed_twice_has_its_last_rank) {
  const MergeTable table(std::vector<Merge>{{1, 2, 10}, {2, 3, 11}, {1, 2, 10}});
  EXPECT_EQ(table.rank(1, 2), 2u);
  EXPECT_EQ(table.rank(2, 1), MergeTable::none);
  EXPECT_EQ(apply(table, {1, 2, 3}), (std::vector<uint32_t>{1, 11}));
}

// Over short pieces apply() scans, over long ones it keeps a heap: a long piece of short pieces
// that cannot merge with each other must give what they give by themselves.
TEST(Merges, long_pieces_merge_like_short_ones) {
  constexpr uint32_t wall = 9;
  std::vector<Merge> merges;
  for (uint32_t i = 0; i < 200; ++i) {  // random rules over the ids 0-3 and earlier results
    const auto pick = [&](uint64_t draw) {
      const uint64_t r = random_bits(Key(6), 2 * i + draw) % (4 + i);
      return static_cast<uint32_t>(r < 4 ? r : r + 6);
    };
    merges.push_back({pick(0), pick(1), 10 + i});
  }
  const MergeTable table(merges);
  std::vector<uint32_t> whole, expected;
  for (uint64_t i = 0; i < 500; ++i) {
    std::vector<uint32_t> part;
    for (uint64_t j = 0; j < random_bits(Key(7), i) % 40; ++j)
      part.push_back(static_cast<uint32_t>(random_bits(Key(8).at(i), j) % 4));
    whole.insert(whole.end(), part.begin(), part.end());
    whole.push_back(wall);
    part = apply(table, part);
    expected.insert(expected.end(), part.begin(), part.end());
    expected.push_back(wall);
  }
  EXPECT_EQ(apply(table, whole), expected);
}

}  // namespace
}  // namespace katman
