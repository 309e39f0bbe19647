// A save is interrupted at every single operation on the disk, in three ways; whatever was
// committed before must be there afterwards, and the run must go on.
#include <gtest/gtest.h>
#include <signal.h>
#include <spdlog/sinks/ostream_sink.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/log.h"
#include "parallel/checkpoint/rank_file.h"
#include "tests/parallel/checkpoint/synthetic.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

namespace fs = std::filesystem;

constexpr Mesh two_ranks{1, 2, 1};
constexpr int64_t few_rows = 31;

// Does what a power failure does to whatever was not synced: names vanish, data is half there.
class PowerFailure {
 public:
  void before(const FileOp& op) {
    using Kind = FileOp::Kind;
    if (op.kind == Kind::write) data_.insert(op.path);
    if (op.kind == Kind::sync) data_.erase(op.path);
    if (op.kind == Kind::rename || op.kind == Kind::link || op.kind == Kind::make_directory)
      names_.insert(op.path);
    if (op.kind == Kind::sync_directory)
      std::erase_if(names_, [&](const fs::path& name) { return name.parent_path() == op.path; });
  }
  void strike() const {
    std::error_code gone;
    for (const fs::path& file : data_)
      if (fs::exists(file)) fs::resize_file(file, fs::file_size(file) / 2, gone);
    for (const fs::path& name : names_) fs::remove_all(name, gone);
  }

 private:
  std::set<fs::path> data_, names_;
};

// In a process of its own: starts a generation and saves `step`, but dies ahead of the n-th
// operation. True when it did die.
bool die_while_saving(const fs::path& directory, int64_t step, int n, bool power_failure) {
  const pid_t child = fork();
  if (child == 0) {
    std::mutex mutex;
    PowerFailure power;
    int count = 0;
    CheckpointOptions options;
    options.keep_last = 1;
    options.on_file_operation = [&](const FileOp& op) {
      const std::lock_guard lock(mutex);
      if (++count == n) {
        if (power_failure) power.strike();
        kill(getpid(), SIGKILL);
      }
      power.before(op);
    };
    spdlog::set_level(spdlog::level::off);
    run_ranks(two_ranks.size(), [&](Comm& world) {
      const auto backend = make_backend("reference");
      SyntheticState state(two_ranks, world.rank(), *backend, few_rows);
      CheckpointStore store(directory, options, *backend, world);
      state.fill(step);
      store.save(synthetic_info(step, two_ranks), state.pieces);
      store.finish();
    });
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "the child failed otherwise";
  return WIFSIGNALED(status);
}

// What a restart finds, every element right; then it saves `next` and must find that.
int64_t restart_and_save(const fs::path& directory, int64_t next) {
  int64_t found = -1;
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    SyntheticState state({1, 1, 1}, 0, *backend, few_rows);
    CheckpointStore store(directory, {.keep_last = 1}, *backend, world);
    const auto info = store.resume(state.pieces);
    if (info) {
      found = info->step;
      EXPECT_EQ(state.wrong(found), 0);
    }
    state.fill(next);
    store.save(synthetic_info(next, {1, 1, 1}), state.pieces);
    EXPECT_TRUE(store.finish());
    state.clear();
    EXPECT_EQ(store.resume(state.pieces)->step, next);
    EXPECT_EQ(state.wrong(next), 0);
  });
  return found;
}

class Crash : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
  void TearDown() override { spdlog::set_level(spdlog::level::info); }
};

TEST_P(Crash, at_any_operation_leaves_a_whole_checkpoint) {
  int n = 1;
  std::set<int64_t> found;
  for (bool died = true; died; ++n) {
    ASSERT_LT(n, 500) << "a save takes more operations than this test expects";
    const TempDir dir;
    restart_and_save(dir.path(), 10);
    died = die_while_saving(dir.path(), 20, n, GetParam());
    found.insert(restart_and_save(dir.path(), 30));
    const auto left = std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator());
    EXPECT_EQ(left, 2) << "more than the log and one checkpoint was left";
    if (HasFailure()) FAIL() << "killed ahead of operation " << n;
  }
  EXPECT_EQ(found, (std::set<int64_t>{10, 20}));  // the old one or the new one, and both occurred
  EXPECT_GT(n, 20);
}
INSTANTIATE_TEST_SUITE_P(, Crash, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "power_failure" : "kill"; });

TEST(FailedSave, at_any_operation_says_so_and_keeps_what_there_is) {
  spdlog::set_level(spdlog::level::off);
  bool failed = true;
  for (int n = 1; failed; ++n) {
    ASSERT_LT(n, 500);
    const TempDir dir;
    std::atomic<int> count = 0;
    std::atomic<bool> armed = false;
    CheckpointOptions options;
    options.keep_last = 1;
    options.on_file_operation = [&](const FileOp& op) {
      // A full disk refuses data and names; the note of the failure is refused as well, so that
      // rank 0 has to notice by itself.
      if (armed && ++count >= n && op.kind != FileOp::Kind::remove)
        fail("cannot write {}: No space left on device", op.path.string());
    };
    options.deadline = std::chrono::seconds(0);
    run_ranks(1, [&](Comm& world) {
      const auto backend = make_backend("reference");
      SyntheticState state({1, 1, 1}, 0, *backend, few_rows);
      CheckpointStore store(dir.path(), options, *backend, world);
      const auto save = [&](int64_t step) {
        state.fill(step);
        store.save(synthetic_info(step, {1, 1, 1}), state.pieces);
        return store.finish();
      };
      EXPECT_TRUE(save(10));
      armed = true;
      failed = !save(20);
      armed = false;
      // Where the last sync of a directory failed, the commit is there all the same.
      const int64_t latest = store.latest()->step;
      EXPECT_TRUE(latest == 20 || (failed && latest == 10)) << "operation " << n;
      EXPECT_TRUE(save(30));
      EXPECT_EQ(store.resume(state.pieces)->step, 30);
      EXPECT_EQ(state.wrong(30), 0);
    });
    if (HasFailure()) FAIL() << "refused from operation " << n << " on";
  }
  spdlog::set_level(spdlog::level::info);
}

TEST(FailedSave, on_another_rank_is_told_by_its_note) {
  const TempDir dir;
  spdlog::set_level(spdlog::level::off);
  const auto begin = std::chrono::steady_clock::now();
  run_ranks(2, [&](Comm& world) {
    const auto backend = make_backend("reference");
    CheckpointOptions options;
    options.on_file_operation = [&](const FileOp& op) {
      if (op.path.filename() == "rank-00001.safetensors") fail("the disk is full");
    };
    SyntheticState state(two_ranks, world.rank(), *backend, few_rows);
    CheckpointStore store(dir.path(), options, *backend, world);
    store.save(synthetic_info(1, two_ranks), state.pieces);
    EXPECT_FALSE(store.finish());
    EXPECT_FALSE(store.latest());
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  spdlog::set_level(spdlog::level::info);
}

TEST(FailedSave, on_another_rank_whose_disk_takes_not_even_a_note_holds_nobody_up) {
  const TempDir dir;
  spdlog::set_level(spdlog::level::off);
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<bool> full = true;
  run_ranks(2, [&](Comm& world) {
    const auto backend = make_backend("reference");
    CheckpointOptions options;
    options.on_file_operation = [&, rank = world.rank()](const FileOp&) {
      if (full && rank == 1) fail("the disk is full");
    };
    SyntheticState state(two_ranks, world.rank(), *backend, few_rows);
    CheckpointStore store(dir.path(), options, *backend, world);
    const auto save = [&](int64_t step) {
      state.fill(step);
      store.save(synthetic_info(step, two_ranks), state.pieces);
      return store.finish();
    };
    EXPECT_FALSE(save(1));
    EXPECT_EQ(store.problem().starts_with("the checkpoint of step 1 was not saved"),
              world.rank() == 0)
        << store.problem();
    full = false;
    EXPECT_TRUE(save(2)) << "there is room again";
    EXPECT_EQ(store.problem(), "");
    EXPECT_EQ(store.latest()->step, 2);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  spdlog::set_level(spdlog::level::info);
}

// What the log says while `act` runs.
std::string log_of(const std::function<void()>& act) {
  std::ostringstream said;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(said)));
  act();
  spdlog::set_default_logger(before);
  return said.str();
}

TEST(FailedSave, a_disk_that_fills_up_is_told_of_before_it_is_full_and_refused_when_it_is) {
  const TempDir dir;
  std::atomic<int64_t> free = 1 << 30;
  const auto save = [&](CheckpointStore& store, SyntheticState& state, int64_t step) {
    bool saved = false;
    const std::string said = log_of([&] {
      state.fill(step);
      store.save(synthetic_info(step, {1, 1, 1}), state.pieces);
      saved = store.finish();
    });
    return std::pair(saved, said);
  };
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    SyntheticState state({1, 1, 1}, 0, *backend, few_rows);
    CheckpointStore store(dir.path(), {.free_bytes = [&] { return free.load(); }}, *backend, world);
    const int64_t bytes = Snapshot::bytes_of(state.pieces, false);
    EXPECT_EQ(save(store, state, 10).second.find("full soon"), std::string::npos);
    free = bytes * 3 / 2;
    const auto [saved, warning] = save(store, state, 20);
    EXPECT_TRUE(saved);
    EXPECT_NE(warning.find("will be full soon"), std::string::npos) << warning;
    free = bytes - 1;
    const auto [refused, why] = save(store, state, 30);
    EXPECT_FALSE(refused);
    EXPECT_NE(why.find("those that exist stay"), std::string::npos) << why;
    EXPECT_EQ(store.latest()->step, 20);
    free = 1 << 30;
    EXPECT_TRUE(save(store, state, 40).first);
  });
}

}  // namespace
}  // namespace katman::testing
