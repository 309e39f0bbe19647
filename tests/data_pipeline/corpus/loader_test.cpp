#include "data_pipeline/corpus/loader.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/support/corpus.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman {
namespace {

using testing::fails_with;
using testing::TempDir;
using testing::write_counting_corpus;

TEST(Loader, every_window_comes_once_per_epoch_and_epochs_differ) {
  TempDir dir;
  write_counting_corpus(dir, 1003, 10, 35);
  const Corpus corpus = Corpus::open(dir.path().string());
  const Loader loader(corpus, Split::train, 8, 42);
  const uint64_t n = loader.samples_per_epoch();
  EXPECT_EQ(n, 1002u / 8);
  std::vector<std::vector<int32_t>> starts(3);  // [epoch][sample]
  for (uint64_t i = 0; i < 3 * n; ++i) {
    std::vector<int32_t> tokens(9);
    loader.sample(i, tokens);
    for (int t = 1; t < 9; ++t) ASSERT_EQ(tokens[t], tokens[0] + t);
    starts[i / n].push_back(tokens[0]);
  }
  for (const auto& epoch : starts) {
    const std::set<int32_t> distinct(epoch.begin(), epoch.end());
    EXPECT_EQ(distinct.size(), n);
    for (const int32_t start : distinct) EXPECT_EQ(start % 8, 0);
  }
  EXPECT_NE(starts[0], starts[1]);
  EXPECT_NE(starts[1], starts[2]);
}

TEST(Loader, a_sample_depends_on_seed_and_index_only) {
  TempDir dir;
  write_counting_corpus(dir, 1003, 10, 35);
  const Corpus corpus = Corpus::open(dir.path().string());
  const Loader a(corpus, Split::train, 8, 1), b(corpus, Split::train, 8, 1);
  const Loader c(corpus, Split::train, 8, 2);
  int equal = 0;
  for (const uint64_t i : {7ul, 3ul, 999ul, 7ul, UINT64_MAX, 1ul << 40}) {
    std::vector<int32_t> x(9), y(9), z(9);
    a.sample(i, x);
    b.sample(i, y);
    c.sample(i, z);
    EXPECT_EQ(x, y) << i;
    equal += x == z;
  }
  EXPECT_LE(equal, 2);
}

TEST(Loader, refuses_a_short_split_and_a_wrong_span) {
  TempDir dir;
  write_counting_corpus(dir, 9, 10, 35);
  const Corpus corpus = Corpus::open(dir.path().string());
  const Loader loader(corpus, Split::train, 8, 1);
  EXPECT_EQ(loader.samples_per_epoch(), 1u);
  EXPECT_TRUE(fails_with("fewer than one sample", [&] { Loader(corpus, Split::train, 9, 1); }));
  EXPECT_TRUE(fails_with("validation split", [&] { Loader(corpus, Split::validation, 8, 1); }));
  std::vector<int32_t> tokens(8);
  EXPECT_TRUE(fails_with("room for 8", [&] { loader.sample(0, tokens); }));
}

TEST(Loader, the_digest_of_what_was_consumed_ignores_order_and_replicas) {
  TempDir dir;
  write_counting_corpus(dir, 1003, 10, 35);
  const Corpus corpus = Corpus::open(dir.path().string());
  const Loader loader(corpus, Split::train, 8, 1);
  const auto consumed = [&](uint64_t replicas, uint64_t samples) {
    std::vector<uint64_t> sums(replicas);
    std::vector<std::thread> ranks;
    for (uint64_t r = 0; r < replicas; ++r)
      ranks.emplace_back([&, r] {
        std::vector<int32_t> tokens(9);
        for (uint64_t i = r; i < samples; i += replicas) {
          loader.sample(i, tokens);
          sums[r] += sample_digest(i, tokens);
        }
      });
    for (auto& rank : ranks) rank.join();
    uint64_t sum = 0;
    for (const uint64_t s : sums) sum += s;
    return sum;
  };
  EXPECT_EQ(consumed(1, 300), consumed(3, 300));
  EXPECT_EQ(consumed(1, 300), consumed(4, 300));
  EXPECT_NE(consumed(1, 300), consumed(1, 299));
}

}  // namespace
}  // namespace katman
