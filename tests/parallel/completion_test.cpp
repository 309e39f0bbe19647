#include "parallel/completion.h"

#include <gtest/gtest.h>

namespace katman::testing {
namespace {

TEST(Completion, a_bucket_is_ready_once_after_the_last_part_that_adds_to_it) {
  std::deque<Param> params(4);
  std::deque<Bucket> buckets(2);
  buckets[0].params = {&params[0], &params[1]};
  buckets[1].params = {&params[2], &params[3]};
  // Parts by index: 0, 1, 1, 2: part 1 adds to both buckets.
  const auto part_of = [&](const Param* param) {
    if (param == &params[0]) return 0;
    return param == &params[3] ? 2 : 1;
  };
  Completion completion(buckets, part_of);
  for (int step = 0; step < 2; ++step) {
    std::vector<size_t> ready;
    const auto note = [&](size_t bucket) { ready.push_back(bucket); };
    completion.begin();
    completion.done(2, note);
    completion.done(2, note);
    EXPECT_TRUE(ready.empty());
    completion.done(1, note);
    EXPECT_EQ(ready, (std::vector<size_t>{1}));
    completion.done(0, note);
    EXPECT_EQ(ready, (std::vector<size_t>{1, 0}));
    completion.done(0, note);
    EXPECT_EQ(ready.size(), 2u);
  }
}

}  // namespace
}  // namespace katman::testing
