#include "parallel/batch.h"

#include <gtest/gtest.h>

namespace katman::testing {
namespace {

TEST(Batch, is_cut_evenly_as_far_as_it_goes) {
  EXPECT_EQ(cut_batch(0, 8, 0, 1, 4), (std::vector<MicroBatch>{{0, 4}, {4, 4}}));
  EXPECT_EQ(cut_batch(100, 5, 0, 1, 2), (std::vector<MicroBatch>{{100, 1}, {101, 2}, {103, 2}}));
  EXPECT_EQ(cut_batch(0, 5, 1, 2, 8), (std::vector<MicroBatch>{{2, 3}}));
  EXPECT_TRUE(cut_batch(0, 1, 0, 2, 8).empty());
}

TEST(Batch, every_sequence_is_somebodys_exactly_once_and_in_order) {
  for (int64_t count : {1, 2, 7, 32, 33})
    for (int dp : {1, 2, 3, 5, 8})
      for (int64_t micro_batch : {1, 2, 4, 100}) {
        int64_t next = 1000;
        for (int rank = 0; rank < dp; ++rank)
          for (const MicroBatch& micro : cut_batch(1000, count, rank, dp, micro_batch)) {
            EXPECT_EQ(micro.first, next);
            EXPECT_GE(micro.sequences, 1);
            EXPECT_LE(micro.sequences, micro_batch);
            next += micro.sequences;
          }
        EXPECT_EQ(next, 1000 + count) << count << " over " << dp << " by " << micro_batch;
      }
}

}  // namespace
}  // namespace katman::testing
