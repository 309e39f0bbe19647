#include "parallel/checkpoint/commit_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <thread>

#include "parallel/checkpoint/save.h"
#include "tests/parallel/checkpoint/synthetic.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

namespace fs = std::filesystem;

CommitLog::Entry entry(int64_t step, uint64_t generation) {
  return {step, generation, "step " + std::to_string(step), 1};
}

TEST(CommitLog, another_reader_sees_what_counts) {
  const TempDir dir;
  const Files files;
  CommitLog log(dir.path(), files);
  EXPECT_TRUE(log.empty());
  const uint64_t generation = log.start(0);
  EXPECT_EQ(generation, 1u);
  log.commit(generation, entry(10, 1), {});
  log.commit(generation, entry(20, 1), {"step 10"});
  CommitLog reader(dir.path(), files);
  ASSERT_EQ(reader.live().size(), 1u);
  EXPECT_EQ(reader.live()[0].directory, "step 20");
  log.commit(generation, entry(30, 1), {});
  reader.refresh();
  EXPECT_EQ(reader.live().size(), 2u);
}

TEST(CommitLog, an_older_generation_cannot_commit_after_a_newer_one_has_started) {
  const TempDir dir;
  const Files files;
  CommitLog old(dir.path(), files), young(dir.path(), files);
  EXPECT_EQ(old.start(0), 1u);
  old.commit(1, entry(10, 1), {});
  EXPECT_EQ(young.start(0), 2u);
  EXPECT_THROW(old.commit(1, entry(20, 1), {}), Fenced);
  young.commit(2, entry(15, 2), {});
  EXPECT_THROW(old.commit(1, entry(20, 1), {}), Fenced);
  EXPECT_EQ(CommitLog(dir.path(), files).live().back().step, 15);
}

TEST(CommitLog, nor_when_it_slept_between_reading_the_log_and_writing_its_slot) {
  const TempDir dir;
  const Files plain;
  bool asleep = false;
  const Files slow([&](const FileOp& op) {
    if (!asleep || op.kind != FileOp::Kind::link) return;
    asleep = false;
    CommitLog young(dir.path(), plain);
    young.start(0);
  });
  CommitLog old(dir.path(), slow);
  old.start(0);
  asleep = true;
  EXPECT_THROW(old.commit(1, entry(20, 1), {}), Fenced);
  EXPECT_TRUE(CommitLog(dir.path(), plain).live().empty());
}

TEST(CommitLog, generations_that_start_together_are_all_different) {
  const TempDir dir;
  const Files files;
  files.make_directory(dir.path() / "log");
  std::vector<uint64_t> generations(8);
  {
    std::vector<std::jthread> threads;
    for (uint64_t& generation : generations)
      threads.emplace_back([&] { generation = CommitLog(dir.path(), files).start(0); });
  }
  EXPECT_EQ(std::set(generations.begin(), generations.end()).size(), generations.size());
}

TEST(CommitLog, a_damaged_slot_may_have_been_a_start_so_nobody_commits_behind_it) {
  const TempDir dir;
  const Files files;
  CommitLog log(dir.path(), files);
  log.start(0);
  dir.write("log/00000002", "generation: 7\n");
  EXPECT_THROW(log.commit(1, entry(10, 1), {}), Fenced);
  CommitLog next(dir.path(), files);
  const uint64_t generation = next.start(7);
  EXPECT_EQ(generation, 8u);
  next.commit(generation, entry(10, generation), {});
  EXPECT_EQ(CommitLog(dir.path(), files).live().size(), 1u);
}

TEST(CommitLog, after_a_rollback_an_older_commit_is_the_newest_and_its_generation_commits_no_more) {
  const TempDir dir;
  const Files files;
  CommitLog log(dir.path(), files);
  log.start(0);
  for (const int64_t step : {10, 20, 30}) log.commit(1, entry(step, 1), {});
  SkippedSamples spike;
  spike.set_first(100);
  spike.set_count(8);
  log.roll_back(1, "step 10", "a spike", {spike});
  EXPECT_THROW(log.commit(1, entry(40, 1), {}), Fenced) << "a worker that was believed to be gone";
  CommitLog next(dir.path(), files);
  ASSERT_EQ(next.live().size(), 1u);
  EXPECT_EQ(next.live()[0].step, 10);
  EXPECT_EQ(next.discarded().size(), 2u);
  EXPECT_EQ(next.rollbacks(), 1);
  EXPECT_EQ(next.rollbacks_that_skip(), 1);
  ASSERT_EQ(next.skipped().size(), 1u);
  EXPECT_EQ(next.skipped()[0].first(), 100u);
  EXPECT_EQ(next.why_rolled_back(), "a spike");
  EXPECT_EQ(next.rolled_back_to(), 10u);
  const uint64_t generation = next.start(0);
  EXPECT_EQ(generation, 2u);
  next.commit(generation, {20, 2, "step 20 again", 1}, {"step 20"});
  EXPECT_EQ(next.discarded().size(), 1u) << "step 30 is still ahead";
}

TEST(CommitLog, what_was_rolled_back_can_be_gone_back_to_and_so_can_the_beginning) {
  const TempDir dir;
  const Files files;
  CommitLog log(dir.path(), files);
  log.start(0);
  for (const int64_t step : {10, 20}) log.commit(1, entry(step, 1), {});
  log.roll_back(1, "", "all of it", {});
  EXPECT_TRUE(log.live().empty());
  log.roll_back(1, "step 20", "or not", {});
  ASSERT_EQ(log.live().size(), 1u);
  EXPECT_EQ(log.live()[0].directory, "step 20");
  EXPECT_THROW(log.commit(1, entry(30, 1), {}), Fenced);
  log.start(0);
  EXPECT_THROW(log.roll_back(1, "step 10", "somebody who slept", {}), Fenced);
  EXPECT_THROW(log.roll_back(2, "step 99", "there is none", {}), Error);
}

TEST(Retention, counts_the_new_one_among_the_last) {
  const std::vector<CommitLog::Entry> live = {entry(10, 1), entry(20, 1), entry(30, 1)};
  using Names = std::vector<std::string>;
  EXPECT_EQ(to_retire(live, 1, 0), (Names{"step 10", "step 20", "step 30"}));
  EXPECT_EQ(to_retire(live, 2, 0), (Names{"step 10", "step 20"}));
  EXPECT_EQ(to_retire(live, 2, 20), (Names{"step 10"}));
  EXPECT_EQ(to_retire(live, 4, 0), Names{});
  EXPECT_EQ(to_retire(live, 9, 0), Names{});
}

// The whole of it: an incarnation that was stopped, and wakes up in the middle of its save.
TEST(Fence, a_zombie_cannot_commit_and_hears_of_it) {
  const TempDir dir;
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    const Mesh mesh;
    SyntheticState state(mesh, 0, *backend);
    const auto save = [&](CheckpointStore& store, int64_t step) {
      state.fill(step);
      store.save(synthetic_info(step, mesh), state.pieces);
      return store.finish();
    };
    CheckpointStore zombie(dir.path(), {}, *backend, world);
    EXPECT_TRUE(save(zombie, 10));
    CheckpointStore next(dir.path(), {}, *backend, world);
    EXPECT_EQ(next.generation(), 2u);
    EXPECT_THROW(save(zombie, 20), Fenced);
    EXPECT_EQ(next.latest()->step, 10);
    EXPECT_TRUE(save(next, 20));
    EXPECT_EQ(next.resume(state.pieces)->generation, 2u);
    EXPECT_THROW(save(zombie, 30), Fenced);
  });
}

// A rollback within the store: the next incarnation goes on from there, leaving samples out.
TEST(Rollback, the_next_incarnation_goes_on_from_the_older_checkpoint) {
  const TempDir dir;
  run_ranks(2, [&](Comm& world) {
    const auto backend = make_backend("reference");
    const Mesh mesh{.dp = 2};
    SyntheticState state(mesh, world.rank(), *backend);
    {
      CheckpointStore store(dir.path(), {.keep_last = 5}, *backend, world);
      for (const int64_t step : {10, 20, 30}) {
        state.fill(step);
        store.save(synthetic_info(step, mesh), state.pieces);
        EXPECT_TRUE(store.finish());
      }
      SkippedSamples skipped;
      skipped.set_first(7);
      skipped.set_count(3);
      EXPECT_EQ(store.roll_back(29, "a test", {skipped}), 20);
      EXPECT_EQ(store.rollbacks_that_skip(), 1);
      store.save(synthetic_info(40, mesh), state.pieces);
      EXPECT_THROW(store.finish(), Fenced);
    }
    CheckpointStore next(dir.path(), {.keep_last = 5}, *backend, world);
    EXPECT_EQ(next.resume(state.pieces)->step, 20);
    ASSERT_EQ(next.skipped().size(), 1u);
    EXPECT_EQ(next.skipped()[0].first(), 7u);
  });
}

}  // namespace
}  // namespace katman::testing
