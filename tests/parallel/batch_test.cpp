#include "parallel/batch.h"

#include <gtest/gtest.h>

#include "core/error.h"

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

TEST(BatchPlan, without_a_ramp_every_step_takes_as_many) {
  const BatchPlan plan(7);
  for (int64_t step = 0; step < 20; ++step) {
    EXPECT_EQ(plan.first(step), 7 * step);
    EXPECT_EQ(plan.sequences(step), 7);
    EXPECT_EQ(plan.step_of(7 * step + 6), step);
  }
}

TEST(BatchPlan, a_batch_grows_linearly_with_what_was_read) {
  const int64_t full = 512, start = 16, ramp = 100'000;
  const BatchPlan plan(full, start, ramp);
  int64_t read = 0;
  for (int64_t step = 0; step < 2000; ++step) {
    const int64_t sequences = plan.sequences(step);
    ASSERT_EQ(plan.first(step), read);
    const double wanted =
        read >= ramp ? full : start + static_cast<double>((full - start) * read) / ramp;
    EXPECT_NEAR(static_cast<double>(sequences), wanted, 1) << step;
    EXPECT_EQ(plan.step_of(read), step);
    EXPECT_EQ(plan.step_of(read + sequences - 1), step);
    read += sequences;
  }
  EXPECT_GT(read, ramp);
}

TEST(BatchPlan, what_cannot_grow_is_refused) {
  EXPECT_THROW(BatchPlan(0), UsageError);
  EXPECT_THROW(BatchPlan(8, 9, 100), UsageError);
  EXPECT_THROW(BatchPlan(8, 0, 100), UsageError);
  EXPECT_THROW(BatchPlan(2, 1, int64_t{1} << 50), UsageError);
}

}  // namespace
}  // namespace katman::testing
