#include "orchestrator/bench/tokenize.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/temp_dir.h"

namespace katman {
namespace {

TEST(TokenizeBench, measures_a_given_text) {
  const testing::TempDir dir;
  const std::string text = made_up_text(50'000, 3);
  const TokenizeFigures f =
      run_tokenize_bench({.files = {dir.write("a.txt", text), dir.write("b.txt", text)},
                          .vocabulary = 400,
                          .seconds = 1e-3});
  EXPECT_EQ(f.bytes, 2 * text.size());
  EXPECT_EQ(f.vocabulary, 400u);
  EXPECT_GT(f.bytes_per_token, 1.0);
  for (double rate : {f.first_mb_per_s, f.encode_mb_per_s, f.decode_mb_per_s, f.count_mb_per_s})
    EXPECT_GT(rate, 0.0);
}

TEST(TokenizeBench, made_up_text_is_a_function_of_its_seed) {
  EXPECT_EQ(made_up_text(10'000, 1), made_up_text(10'000, 1));
  EXPECT_NE(made_up_text(10'000, 1), made_up_text(10'000, 2));
  EXPECT_EQ(made_up_text(10'000, 1), made_up_text(20'000, 1).substr(0, 10'000));
}

TEST(TokenizeBench, a_missing_file_or_no_time_is_an_error) {
  EXPECT_THROW(run_tokenize_bench({.files = {"/nowhere/text"}}), Error);
  EXPECT_THROW(run_tokenize_bench({.seconds = 0}), UsageError);
}

}  // namespace
}  // namespace katman
