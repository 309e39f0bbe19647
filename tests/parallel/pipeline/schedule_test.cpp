#include "parallel/pipeline/schedule.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "parallel/pipeline/transfers.h"

namespace katman::testing {
namespace {

TEST(Schedule, golden_text_of_every_kind) {
  EXPECT_EQ(to_string(gpipe(2, 2)), "0F0 0F1 0B0 0B1\n1F0 1F1 1B0 1B1\n");
  EXPECT_EQ(to_string(one_f_one_b(2, 3)), "0F0 0F1 0B0 0F2 0B1 0B2\n1F0 1B0 1F1 1B1 1F2 1B2\n");
  EXPECT_EQ(to_string(interleaved(2, 2, 2)),
            "0F0 0F1 2F0 2F1 2B0 2B1 0B0 0B1\n1F0 1F1 3F0 3B0 3F1 3B1 1B0 1B1\n");
  EXPECT_EQ(to_string(zero_bubble(2, 3)),
            "0F0 0F1 0B0 0F2 0B1 0B2\n1F0 1I0 1F1 1I1 1W0 1F2 1I2 1W1 1W2\n");
  EXPECT_EQ(to_string(zero_bubble_h2(2, 3)),
            "0F0 0F1 0F2 0B0 0B1 0B2\n1F0 1I0 1F1 1I1 1F2 1I2 1W0 1W1 1W2\n");
  EXPECT_EQ(to_string(forward_only(2, 1, 2)), "0F0 2F0\n1F0 3F0\n");
}

TEST(Schedule, golden_text_with_transfers) {
  EXPECT_EQ(to_string(with_comms(one_f_one_b(2, 2))),
            "0F0 0SF0 0F1 0SF1 0RB0 0B0 0RB1 0B1 0R\n"
            "1RF0 1F0 1RF1 1B0 1SB0 1F1 1B1 1SB1 1R\n");
}

TEST(Schedule, text_round_trips) {
  for (int ranks : {1, 2, 5})
    for (int micros : {1, 7})
      for (const Schedule& compute :
           {gpipe(ranks, micros), one_f_one_b(ranks, micros), interleaved(ranks, micros, 3),
            zero_bubble(ranks, micros), zero_bubble_h2(ranks, micros)}) {
        const Schedule whole = with_comms(compute);
        EXPECT_EQ(parse_schedule(to_string(whole)), whole);
      }
  EXPECT_EQ(parse_schedule("0F0 0B0 | 1F0 1B0\n"), parse_schedule("# two ranks\n0F0 0B0\n1F0 1B0"));
}

TEST(Schedule, text_that_is_not_a_schedule_is_refused_by_rank_and_word) {
  for (const std::string word : {"F0", "0F", "0X1", "0F1x", "-1F0", "0R1", "99999F0"}) {
    try {
      parse_schedule("0F0\n" + word);
      ADD_FAILURE() << word << " was accepted";
    } catch (const UsageError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("'" + word + "' of rank 1"), std::string::npos) << message;
    }
  }
}

TEST(Schedule, unknown_kinds_and_useless_chunks_are_refused) {
  EXPECT_THROW(make_schedule("dualpipe", 2, 4, 1), UsageError);
  EXPECT_THROW(make_schedule("1f1b", 2, 4, 2), UsageError);
  EXPECT_THROW(make_schedule("file:/nowhere/at/all", 2, 4, 1), UsageError);
}

}  // namespace
}  // namespace katman::testing
