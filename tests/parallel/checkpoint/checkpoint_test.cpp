#include "parallel/checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "tests/parallel/checkpoint/synthetic.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_dir.h"

namespace katman::testing {
namespace {

namespace fs = std::filesystem;

// Every rank of `mesh` saves the state after each of `steps`.
void save_under(const Mesh& mesh, const fs::path& directory, const std::vector<int64_t>& steps,
                CheckpointOptions options = {}) {
  run_ranks(mesh.size(), [&](Comm& world) {
    const auto backend = make_backend("reference");
    SyntheticState state(mesh, world.rank(), *backend);
    CheckpointStore store(directory, options, *backend, world);
    for (const int64_t step : steps) {
      state.fill(step);
      store.save(synthetic_info(step, mesh), state.pieces);
      state.clear();  // what training does to the state while the save is under way
    }
    EXPECT_TRUE(store.finish());
  });
}

// The step that every rank of `mesh` resumes from, with everything right; -1: nothing to resume.
int64_t resume_under(const Mesh& mesh, const fs::path& directory) {
  std::atomic<int64_t> step = -1;
  run_ranks(mesh.size(), [&](Comm& world) {
    const auto backend = make_backend("reference");
    SyntheticState state(mesh, world.rank(), *backend);
    CheckpointStore store(directory, {}, *backend, world);
    const auto info = store.resume(state.pieces);
    if (!info) return;
    EXPECT_EQ(state.wrong(info->step), 0) << to_string(mesh) << ", rank " << world.rank();
    step = info->step;
  });
  return step;
}

std::string flip_a_bit(const fs::path& file, int64_t at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(at);
  const char byte = static_cast<char>(stream.get() ^ 0x10);
  stream.seekp(at);
  stream.put(byte);
  return file.string();
}

TEST(Checkpoint, says_again_what_it_was_told) {
  const TempDir dir;
  const Mesh mesh{2, 1, 1};
  const std::string tokenizer = dir.write("tokenizer.json", "{\"model\": 1}");
  save_under(mesh, dir.path() / "ckpt", {7}, {.tokenizer = tokenizer});
  const fs::path found = find_checkpoint(dir.path() / "ckpt");
  const CheckpointInfo info = read_checkpoint_info(found);
  EXPECT_EQ(found.filename(), "step-00000007.g1");
  EXPECT_EQ(info.step, 7);
  EXPECT_EQ(info.samples_consumed, 56u);
  EXPECT_EQ(info.mesh, mesh);
  EXPECT_EQ(info.model.vocabulary, 1031);
  EXPECT_EQ(info.run.name(), "synthetic");
  EXPECT_EQ(info.counters.at("skipped"), 3);
  EXPECT_EQ(read_file(found / "tokenizer.json"), "{\"model\": 1}");
  EXPECT_EQ(verify_checkpoint(found), std::vector<std::string>{});
}

TEST(Checkpoint, any_layout_loads_any_other) {
  const std::vector<Mesh> meshes = {{1, 1, 1}, {2, 1, 1}, {1, 3, 1}, {1, 1, 4},
                                    {2, 2, 1}, {3, 1, 2}, {1, 2, 3}, {2, 2, 2}};
  for (const Mesh& saved : meshes) {
    const TempDir dir;
    save_under(saved, dir.path(), {5});
    for (const Mesh& loaded : meshes)
      EXPECT_EQ(resume_under(loaded, dir.path()), 5)
          << "saved under " << to_string(saved) << ", loaded under " << to_string(loaded);
  }
}

TEST(Checkpoint, a_run_without_any_starts_from_nothing) {
  const TempDir dir;
  EXPECT_EQ(resume_under({2, 1, 1}, dir.path() / "not" / "there" / "yet"), -1);
}

TEST(Checkpoint, keeps_the_last_ones_and_every_kth_for_good) {
  const TempDir dir;
  save_under({1, 1, 1}, dir.path(), {10, 20, 30, 40, 50, 60, 70},
             {.keep_last = 2, .keep_every = 30});
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(dir.path()))
    if (entry.path().filename() != "log") left.push_back(entry.path().filename());
  std::ranges::sort(left);
  EXPECT_EQ(left,
            (std::vector<std::string>{"step-00000030.g1", "step-00000060.g1", "step-00000070.g1"}));
  EXPECT_EQ(resume_under({1, 2, 1}, dir.path()), 70);
}

TEST(Checkpoint, a_flipped_bit_is_named_and_the_one_before_is_used) {
  const TempDir dir;
  save_under({1, 2, 1}, dir.path(), {10, 20});
  const fs::path file = dir.path() / "step-00000020.g1" / "rank-00001.safetensors";
  const auto size = static_cast<int64_t>(fs::file_size(file));
  for (const int64_t at : {size - 1, size / 2}) {
    const std::string name = flip_a_bit(file, at);
    const auto defects = verify_checkpoint(dir.path() / "step-00000020.g1");
    ASSERT_EQ(defects.size(), 1u);
    EXPECT_NE(defects[0].find(name + " is damaged: bytes ["), std::string::npos) << defects[0];
    EXPECT_EQ(resume_under({1, 1, 1}, dir.path()), 10);
    flip_a_bit(file, at);
  }
  EXPECT_EQ(resume_under({1, 1, 1}, dir.path()), 20);
  flip_a_bit(file, 300);  // the head: not needed for loading, but noticed
  ASSERT_EQ(verify_checkpoint(dir.path() / "step-00000020.g1").size(), 1u);
}

TEST(Checkpoint, a_load_reads_only_the_blocks_that_hold_what_it_wants) {
  const TempDir dir;
  save_under({1, 1, 1}, dir.path(), {10});
  const fs::path checkpoint = find_checkpoint(dir.path());
  const fs::path file = checkpoint / "rank-00000.safetensors";
  flip_a_bit(file, static_cast<int64_t>(fs::file_size(file)) - 1);
  const auto backend = make_backend("reference");
  SyntheticState state({1, 1, 1}, 0, *backend);
  const std::span<const Piece> all = state.pieces;
  EXPECT_THROW(load_checkpoint(checkpoint, all, *backend), Error);
  load_checkpoint(checkpoint, all.first(1), *backend);  // would throw if it had looked further
}

TEST(Checkpoint, a_truncated_a_missing_and_a_rewritten_file_are_passed_over) {
  const TempDir dir;
  const auto break_20 = [&](const std::string& name, const auto& damage) {
    const fs::path run = dir.path() / name;
    save_under({1, 2, 1}, run, {10, 20});
    damage(run / "step-00000020.g1");
    EXPECT_EQ(resume_under({2, 1, 1}, run), 10) << name;
  };
  break_20("truncated", [](const fs::path& ckpt) {
    fs::resize_file(ckpt / "rank-00000.safetensors",
                    fs::file_size(ckpt / "rank-00000.safetensors") - 4);
  });
  break_20("missing", [](const fs::path& ckpt) { fs::remove(ckpt / "rank-00001.safetensors"); });
  break_20("no manifest", [](const fs::path& ckpt) { fs::remove(ckpt / "manifest.textproto"); });
  break_20("half a manifest", [](const fs::path& ckpt) {
    fs::resize_file(ckpt / "manifest.textproto", fs::file_size(ckpt / "manifest.textproto") / 2);
  });
  break_20("another's manifest", [](const fs::path& ckpt) {
    fs::copy_file(ckpt.parent_path() / "step-00000010.g1" / "manifest.textproto",
                  ckpt / "manifest.textproto", fs::copy_options::overwrite_existing);
  });
  break_20("gone", [](const fs::path& ckpt) { fs::remove_all(ckpt); });
}

TEST(Checkpoint, when_all_are_damaged_the_run_does_not_start_over_in_silence) {
  const TempDir dir;
  save_under({1, 1, 1}, dir.path(), {10});
  fs::resize_file(dir.path() / "step-00000010.g1" / "rank-00000.safetensors", 100);
  EXPECT_THROW(resume_under({1, 1, 1}, dir.path()), Error);
}

TEST(Checkpoint, of_another_model_is_refused_and_not_called_damaged) {
  const TempDir dir;
  save_under({1, 1, 1}, dir.path(), {10});
  run_ranks(1, [&](Comm& world) {
    const auto backend = make_backend("reference");
    CheckpointStore store(dir.path(), {}, *backend, world);
    std::vector<Piece> wanted = SyntheticState({1, 1, 1}, 0, *backend).pieces;
    wanted[0].global = {1031, 301};
    EXPECT_THROW(store.resume(wanted), UsageError);
    wanted[0].name = "lm_head.weight";
    EXPECT_THROW(store.resume(wanted), UsageError);
  });
}

TEST(Checkpoint, weights_alone_load_with_moments_of_zero) {
  const TempDir dir;
  save_under({1, 1, 1}, dir.path(), {10}, {.weights_only = true});
  const auto backend = make_backend("reference");
  SyntheticState state({1, 1, 1}, 0, *backend);
  state.fill(3);
  load_checkpoint(find_checkpoint(dir.path()), state.pieces, *backend);
  for (const Piece& piece : state.pieces) {
    const float* values = piece.data.data<float>();
    const float last = values[piece.box.elements() - 1];
    if (piece.what == Piece::What::master) {
      const int64_t index = piece.global.elements() - 1;
      EXPECT_EQ(last, synthetic_value(piece.name, piece.what, index, 10));
    } else {
      EXPECT_EQ(last, 0.0f);
    }
  }
}

TEST(Checkpoint, a_layout_with_a_hole_or_an_overlap_is_never_committed) {
  for (const bool hole : {true, false}) {
    const TempDir dir;
    run_ranks(2, [&](Comm& world) {
      const auto backend = make_backend("reference");
      SyntheticState state({1, 2, 1}, world.rank(), *backend);
      CheckpointStore store(dir.path(), {}, *backend, world);
      if (world.rank() == 1 && hole) state.pieces.pop_back();
      if (world.rank() == 1 && !hole) state.pieces.push_back(state.pieces.back());
      store.save(synthetic_info(1, {1, 2, 1}), state.pieces);
      EXPECT_FALSE(store.finish());
      EXPECT_FALSE(store.latest());
    });
  }
}

TEST(Checkpoint, directories_copied_without_their_log_are_still_found) {
  const TempDir dir;
  save_under({1, 1, 1}, dir.path(), {10, 20});
  fs::remove_all(dir.path() / "log");
  EXPECT_EQ(resume_under({1, 1, 1}, dir.path()), 20);
  EXPECT_EQ(resume_under({1, 1, 1}, dir.path()), 20);  // nor did the first resume sweep them away
}

}  // namespace
}  // namespace katman::testing
