#include "data_pipeline/corpus/masking.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"

namespace katman {
namespace {

using Ids = std::vector<int32_t>;

TEST(DocumentStarts, a_document_ends_with_its_end_token) {
  const Ids ids = {4, 5, 0, 6, 0, 0, 7, 8};
  Ids starts(ids.size(), -1);
  document_starts(ids, 0, starts);
  EXPECT_EQ(starts, (Ids{0, 0, 0, 3, 3, 5, 6, 6}));
  EXPECT_THROW(document_starts(ids, 0, std::span(starts).first(3)), Error);
}

struct Masked {
  Ids ids, targets;
};
Masked masked(const InputMask& mask, uint64_t sample, size_t length) {
  Masked out{Ids(length), Ids(length)};
  std::iota(out.ids.begin(), out.ids.end(), 100);
  std::iota(out.targets.begin(), out.targets.end(), 101);
  mask.apply(sample, out.ids, out.targets);
  return out;
}

TEST(InputMask, hides_its_share_of_the_input_and_no_target) {
  const InputMask mask{.fraction = 0.2f, .token = 7, .key = Key(1)};
  double hidden = 0;
  constexpr size_t length = 1000, samples = 50;
  for (uint64_t sample = 0; sample < samples; ++sample) {
    const Masked out = masked(mask, sample, length);
    for (size_t i = 0; i < length; ++i) {
      EXPECT_EQ(out.ids[i], mask.hides(sample, i) ? 7 : static_cast<int32_t>(100 + i));
      EXPECT_EQ(out.targets[i], static_cast<int32_t>(101 + i));
      hidden += out.ids[i] == 7;
    }
  }
  const double draws = length * samples;
  EXPECT_NEAR(hidden / draws, 0.2, 4 * std::sqrt(0.2 * 0.8 / draws));
}

TEST(InputMask, may_count_hidden_positions_alone) {
  const InputMask mask{.fraction = 0.3f, .token = 7, .hidden_only = true, .key = Key(1)};
  const Masked out = masked(mask, 5, 200);
  for (size_t i = 0; i < 200; ++i)
    EXPECT_EQ(out.targets[i], out.ids[i] == 7 ? static_cast<int32_t>(101 + i) : -1);
}

TEST(InputMask, is_a_function_of_seed_sample_and_position) {
  const InputMask mask{.fraction = 0.5f, .token = 7, .key = Key(1)},
      other{.fraction = 0.5f, .token = 7, .key = Key(2)};
  EXPECT_EQ(masked(mask, 9, 64).ids, masked(mask, 9, 64).ids);
  EXPECT_NE(masked(mask, 9, 64).ids, masked(mask, 10, 64).ids);
  EXPECT_NE(masked(mask, 9, 64).ids, masked(other, 9, 64).ids);
  const Ids longer = masked(mask, 9, 64).ids, shorter = masked(mask, 9, 32).ids;
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longer.begin()));
}

}  // namespace
}  // namespace katman
