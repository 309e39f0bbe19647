#include "data_pipeline/examples/packing.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/random.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

TEST(Packing, every_example_has_one_place_and_no_sequence_is_too_full) {
  std::vector<int64_t> lengths;
  for (uint64_t i = 0; i < 500; ++i)
    lengths.push_back(1 + static_cast<int64_t>(random_bits(Key(3), i) % 60));
  const auto sequences = pack(lengths, 64);
  std::vector<int> places(lengths.size());
  for (const auto& sequence : sequences) {
    int64_t tokens = 0;
    for (const int64_t example : sequence) {
      ++places[static_cast<size_t>(example)];
      tokens += lengths[static_cast<size_t>(example)];
    }
    EXPECT_LE(tokens, 64);
  }
  EXPECT_EQ(places, std::vector<int>(lengths.size(), 1));
  const auto sum = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  EXPECT_LE(std::ssize(sequences), sum / 64 * 11 / 9 + 4);
}

TEST(Packing, what_fits_exactly_leaves_nothing) {
  const std::vector<int64_t> lengths = {3, 5, 8, 2, 6};
  EXPECT_EQ(pack(lengths, 8), (std::vector<std::vector<int64_t>>{{2}, {4, 3}, {1, 0}}));
  EXPECT_TRUE(pack({}, 8).empty());
  EXPECT_TRUE(fails_with("an example of 8 tokens does not fit", [&] { pack(lengths, 7); }));
}

}  // namespace
}  // namespace katman::testing
