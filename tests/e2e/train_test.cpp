// The program itself: `katman train` from a run file to checkpoints and metrics.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/eventually.h"
#include "tests/support/small_run.h"

namespace katman::testing {
namespace {

const SmallRun& small_run() {
  static const SmallRun run;
  return run;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void expect_same_losses(const std::map<int64_t, double>& a, const std::map<int64_t, double>& b,
                        double relative) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [step, loss] : a) EXPECT_NEAR(b.at(step), loss, relative * loss) << step;
}

TEST(Train, starts_at_the_uniform_loss_and_learns) {
  const Result result = small_run().train("learn", {"steps=40", "device.precision=fp32"});
  ASSERT_EQ(result.status, 0) << result.output;
  const auto losses = small_run().losses("learn");
  ASSERT_EQ(losses.size(), 40u);
  EXPECT_NEAR(losses.at(0), std::log(300), 0.05);
  EXPECT_LT(losses.at(39), losses.at(0) - 1) << result.output;
  EXPECT_TRUE(has(result.output, "bits per byte")) << result.output;
}

// Twenty steps more than a run that was interrupted had done; how many there are changes nothing
// about each.
std::vector<std::string> further(const std::vector<std::string>& sets, const Interrupted& run) {
  auto more = sets;
  more.push_back("steps=" + std::to_string(run.steps + 20));
  return more;
}

TEST(Train, killed_at_any_moment_it_goes_on_bit_for_bit) {
  const std::vector<std::string> sets = {SmallRun::any_length, "model.dropout=0.1"};
  const Interrupted killed =
      small_run().interrupt("killed", small_run().command("killed", sets), 20, SIGKILL);
  EXPECT_EQ(killed.status, 128 + SIGKILL);
  const Result resumed = small_run().train("killed", further(sets, killed));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_TRUE(has(resumed.output, "going on after step")) << resumed.output;
  ASSERT_EQ(small_run().train("whole", further(sets, killed)).status, 0);
  expect_same_losses(small_run().losses("whole"), small_run().losses("killed"), 0);
  EXPECT_EQ(small_run().newest_checkpoint("whole"), small_run().newest_checkpoint("killed"));
}

TEST(Train, sigterm_saves_and_the_same_command_goes_on) {
  const std::vector<std::string> sets = {SmallRun::any_length, "checkpoint.every_steps=1000000"};
  const Interrupted stopped =
      small_run().interrupt("stopped", small_run().command("stopped", sets), 3, SIGTERM);
  EXPECT_EQ(stopped.status, 0);
  EXPECT_TRUE(has(stopped.output, "the same command goes on from there")) << stopped.output;
  const Result resumed = small_run().train("stopped", further(sets, stopped));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_TRUE(has(resumed.output, fmt::format("going on after step {} of", stopped.steps)))
      << resumed.output;
  ASSERT_EQ(small_run().train("unstopped", further(sets, stopped)).status, 0);
  expect_same_losses(small_run().losses("unstopped"), small_run().losses("stopped"), 0);
  EXPECT_EQ(small_run().newest_checkpoint("unstopped"), small_run().newest_checkpoint("stopped"));
}

TEST(Train, a_rank_that_dies_is_started_again_and_nothing_of_it_shows) {
  const std::vector<std::string> sets = {SmallRun::any_length, "mesh.dp=2"};
  const std::string log = small_run().path("hurt-first.log");
  auto endless = small_run().command("hurt", sets);
  endless.insert(endless.end(), {"--set", "steps=1000000"});
  Process train(endless, log);
  eventually("it trains", [] { return small_run().losses("hurt").size() >= 30; });
  const auto ranks = katman_processes(small_run().path("hurt") + "/logs/");
  ASSERT_EQ(ranks.size(), 2u);
  ::kill(ranks[1], SIGKILL);
  eventually("it is noticed", [&] { return has(read_file(log), "recovering: "); });
  eventually("it goes on", [&, done = small_run().losses("hurt").size()] {
    return small_run().losses("hurt").size() > done + 10;
  });
  train.signal(SIGTERM);
  EXPECT_EQ(train.wait(), 0) << read_file(log);
  const auto losses = small_run().losses("hurt");
  const std::string steps = fmt::format("steps={}", losses.size());
  ASSERT_EQ(small_run().train("unhurt", {sets[0], sets[1], steps}).status, 0);
  expect_same_losses(small_run().losses("unhurt"), losses, 0);
  EXPECT_EQ(small_run().newest_checkpoint("unhurt"), small_run().newest_checkpoint("hurt"));
}

TEST(Train, after_a_spike_it_goes_back_and_leaves_the_data_out_whatever_interrupts_it) {
  // A loss that is 1 % above the mean is none that needs this, but it comes often.
  const std::vector<std::string> sets = {SmallRun::any_length, "recovery.on_bad_step=rollback",
                                         "recovery.spike_factor=1.01", "recovery.skip_batches=2",
                                         "recovery.most_rollbacks=100000"};
  const Interrupted killed = small_run().interrupt(
      "spikes-killed", small_run().command("spikes-killed", sets), 130, SIGKILL);
  const Result resumed = small_run().train("spikes-killed", further(sets, killed));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  const Result whole = small_run().train("spikes", further(sets, killed));
  ASSERT_EQ(whole.status, 0) << whole.output;
  EXPECT_TRUE(has(whole.output, "times the recent mean; samples")) << whole.output;
  expect_same_losses(small_run().losses("spikes"), small_run().losses("spikes-killed"), 0);
  EXPECT_EQ(small_run().newest_checkpoint("spikes"),
            small_run().newest_checkpoint("spikes-killed"));

  auto bounded = sets;
  bounded.back() = "recovery.most_rollbacks=0";
  bounded.emplace_back("steps=150");
  const Result refused = small_run().train("spikes-bounded", bounded);
  EXPECT_EQ(refused.status, 1) << refused.output;
  EXPECT_TRUE(has(refused.output, "rolled back 0 times already")) << refused.output;
}

TEST(Train, a_complete_run_says_so_and_changes_nothing) {
  ASSERT_EQ(small_run().train("complete").status, 0);
  const auto before = small_run().newest_checkpoint("complete");
  const Result again = small_run().train("complete");
  EXPECT_EQ(again.status, 0);
  EXPECT_TRUE(has(again.output, "is complete")) << again.output;
  EXPECT_EQ(small_run().newest_checkpoint("complete"), before);
}

TEST(Train, micro_batches_ranks_and_backends_give_the_same_losses) {
  const std::string fp32 = "device.precision=fp32";
  ASSERT_EQ(small_run().train("one", {fp32}).status, 0);
  const auto want = small_run().losses("one");
  const std::vector<std::vector<std::string>> ways = {
      {"data.micro_batch=3"},
      {"device.kind=reference"},
      {"mesh.tp=2", "mesh.pp=2", "mesh.sequence_parallel=true"},
      {"mesh.dp=3", "mesh.recompute=full"},
  };
  for (const auto& way : ways) {
    auto sets = way;
    sets.push_back(fp32);
    const Result result = small_run().train("way-" + way[0], sets);
    ASSERT_EQ(result.status, 0) << way[0] << ": " << result.output;
    expect_same_losses(want, small_run().losses("way-" + way[0]), 1e-5);
  }
}

TEST(Train, a_run_resumes_on_another_layout_as_if_never_stopped) {
  const std::vector<std::string> sets = {SmallRun::any_length, "device.precision=fp32"};
  const auto on = [](std::vector<std::string> sets, std::initializer_list<const char*> mesh) {
    sets.insert(sets.end(), mesh.begin(), mesh.end());
    return sets;
  };
  const auto first = on(sets, {"mesh.dp=2", "mesh.pp=2"});
  const Interrupted moved =
      small_run().interrupt("moves", small_run().command("moves", first), 5, SIGTERM);
  ASSERT_EQ(moved.status, 0) << moved.output;
  const auto rest = further(sets, moved);
  const Result second = small_run().train("moves", on(rest, {"mesh.tp=2"}));
  ASSERT_EQ(second.status, 0) << second.output;
  ASSERT_EQ(small_run().train("stays", rest).status, 0);
  expect_same_losses(small_run().losses("stays"), small_run().losses("moves"), 1e-5);
  // The same samples, each once: neither the interruption nor the layouts lost or repeated any.
  const auto digest = [](const std::string& directory) {
    const Result result =
        run({katman(), "checkpoint", "inspect", "--json", small_run().path(directory)});
    return nlohmann::json::parse(result.output).at("counters").at("sample_digest");
  };
  EXPECT_EQ(digest("stays"), digest("moves"));
  ASSERT_EQ(small_run().train("three", on(rest, {"mesh.dp=3"})).status, 0);
  EXPECT_EQ(digest("stays"), digest("three"));
}

TEST(Train, a_damaged_token_is_never_trained_on) {
  const std::string copy = small_run().path("damaged-corpus");
  std::filesystem::copy(small_run().corpus(), copy);
  const std::string shard = copy + "/train-00000.tokens";
  std::string bytes = read_file(shard);
  for (size_t at = 5000; at < bytes.size() / 2; at += 60000) bytes[at] ^= 4;
  std::ofstream(shard, std::ios::binary) << bytes;
  const Result result = small_run().train("on-damage", {"data.corpus=" + copy});
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(has(result.output, shard + ": block ")) << result.output;
}

TEST(Train, what_changed_since_the_last_checkpoint_is_said) {
  ASSERT_EQ(small_run().train("changed").status, 0);
  const Result again = small_run().train("changed", {"steps=14", "learning_rate.peak=2e-2"});
  ASSERT_EQ(again.status, 0) << again.output;
  EXPECT_TRUE(has(again.output, "the run file changed: modified: learning_rate.peak: 0.01 -> 0.02"))
      << again.output;
}

TEST(Train, what_the_stages_did_is_written_and_can_be_seen) {
  ASSERT_EQ(small_run().train("timed", {"mesh.pp=2", "mesh.schedule=zero_bubble"}).status, 0);
  const Result seen = run({katman(), "schedule", "--json", "--timeline",
                           small_run().path("timed/timelines/stage-0"),
                           small_run().path("timed/timelines/stage-1")});
  ASSERT_EQ(seen.status, 0) << seen.output;
  const auto json = nlohmann::json::parse(seen.output);
  EXPECT_GT(json["measured"], 0.0);
  EXPECT_LT(json["measured"], 1.0);
}

TEST(Train, what_cannot_work_is_refused_in_one_sentence_before_anything_starts) {
  const std::map<std::string, std::string> refusals = {
      {"model.hiden=3", "there is no field 'hiden' here; there are: preset, layers"},
      {"mesh.tp=3", "the nearest mesh that fits: tp=1 dp=3 pp=1"},
      {"mesh.pp=4", "cannot fill 4 pipeline stages"},
      {"model.hidden=33", "model.hidden = 33 is not a multiple of model.heads = 4"},
      {"steps=0", "steps is missing"},
      {"learning_rate.kind=SQUARE", "'SQUARE' is not a value of learning_rate.kind"},
      {"model.vocabulary=200", "give at least 300"},
      {"model.hidden=262144", "and this machine has"},
      {"model.layers=4000000000", "use at most 10000"},
      {"model.hidden=4000000000", "is beyond any machine"},
      {"mesh.schedule=file:/nowhere", "cannot read the schedule /nowhere"},
      {"device.threads=100000", "use at most 1024"},
      {"learning_rate.kind=9", "learning_rate.kind is 9"},
  };
  for (const auto& [assignment, sentence] : refusals) {
    const Result result = small_run().train("refused", {assignment});
    EXPECT_EQ(result.status, 2) << assignment << ": " << result.output;
    EXPECT_TRUE(has(result.output, sentence)) << assignment << ": " << result.output;
    EXPECT_EQ(std::ranges::count(result.output, '\n'), 1) << result.output;
  }
  const Result nowhere = small_run().train("refused", {"data.corpus=/nowhere"});
  EXPECT_EQ(nowhere.status, 1);
  EXPECT_TRUE(has(nowhere.output, "/nowhere is not a corpus")) << nowhere.output;
  EXPECT_FALSE(std::filesystem::exists(small_run().path("refused")));
}

TEST(Train, fewer_threads_than_were_asked_for_are_used_as_if_they_had_been) {
  auto limited = small_run().command("limited", {"steps=20", "device.threads=2"});
  limited.insert(limited.begin(), {"env", "OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true"});
  const Result result = run(limited);
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_TRUE(has(result.output, "1 of 2 threads are used")) << result.output;
  ASSERT_EQ(small_run().train("one-thread", {"steps=20", "device.threads=1"}).status, 0);
  EXPECT_EQ(small_run().losses("limited"), small_run().losses("one-thread"));
}

TEST(Train, check_prints_the_run_with_every_default) {
  auto command = small_run().command("checked");
  command.emplace_back("--check");
  const Result result = run(command);
  EXPECT_EQ(result.status, 0);
  for (const char* part : {"beta2: 0.95", "schedule: \"1f1b\"", "precision: \"bf16\"", "tp: 1"})
    EXPECT_TRUE(has(result.output, part)) << part << " in " << result.output;
  EXPECT_FALSE(std::filesystem::exists(small_run().path("checked")));
}

}  // namespace
}  // namespace katman::testing
