// The orchestrator with real processes: submit, command, kill what can be killed.
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <vector>

#include "core/error.h"
#include "orchestrator/control/client.h"
#include "tests/support/service.h"

namespace katman::testing {
namespace {

TEST(Orchestrate, killed_workers_and_a_killed_orchestrator_change_nothing_about_the_result) {
  const auto sets = [](uint64_t steps) {
    return std::vector<std::string>{SmallRun::any_length, "checkpoint.every_steps=10",
                                    "steps=" + std::to_string(steps)};
  };
  Service service("kills");
  service.submit("a", sets(1'000'000));
  for (int kill = 0; kill < 2; ++kill) {
    const RunView view = service.wait_for("a", RunView::RUNNING, kill ? 30 : 1);
    const auto workers = service.workers("a");
    ASSERT_EQ(workers.size(), 1u);
    ::kill(workers[0], SIGKILL);
    service.eventually("it is started again",
                       [&] { return service.client().show("a").generation() > view.generation(); });
  }
  service.wait_for("a", RunView::RUNNING, 50);
  service.process().signal(SIGKILL);
  service.process().wait();
  ASSERT_EQ(service.workers("a").size(), 1u) << "training does not need an orchestrator";
  service.start();
  const uint64_t saved = service.wait_for("a", RunView::RUNNING, 50).committed();
  service.eventually("it gets further than before",
                     [&] { return service.client().show("a").committed() > saved; });
  EXPECT_EQ(service.command("a", STOP_RUN).outcome(), CommandResult::DONE);
  const RunView done = service.client().show("a");
  EXPECT_EQ(done.generation(), 3u) << "the one that went on was found again";
  EXPECT_EQ(done.restarts(), 2u);
  ASSERT_EQ(small_run().train("undisturbed", sets(done.committed())).status, 0);
  expect_same_training("undisturbed", service.directory("a"));

  expect_every_step_once(service, "a", done.committed());
}

TEST(Orchestrate, two_ranks_survive_the_death_of_either_and_of_mpirun) {
  Service service("ranks");
  service.submit("a", {"steps=100000", "mesh.dp=2", "checkpoint.every_steps=5"});
  for (const int victim : {0, 1}) {
    const RunView view = service.wait_for("a", RunView::RUNNING, 1);
    const auto workers = service.workers("a");
    ASSERT_EQ(workers.size(), 2u);
    ::kill(workers[static_cast<size_t>(victim)], SIGKILL);
    service.eventually("it is started again",
                       [&] { return service.client().show("a").generation() > view.generation(); });
  }
  service.wait_for("a", RunView::RUNNING, 1);
  EXPECT_EQ(service.command("a", KILL_RUN).outcome(), CommandResult::DONE);
  EXPECT_TRUE(service.workers("a").empty()) << "ranks end with the mpirun that started them";
}

TEST(Orchestrate, every_command_does_what_it_says) {
  Service service("commands");
  service.submit("a", {"steps=100000", "checkpoint.every_steps=100000"});
  service.wait_for("a", RunView::RUNNING, 2);
  const CommandResult saved = service.command("a", CHECKPOINT_NOW);
  EXPECT_EQ(saved.outcome(), CommandResult::DONE) << saved.text();
  EXPECT_GT(service.client().show("a").committed(), 0u);

  EXPECT_EQ(service.command("a", PAUSE_RUN).outcome(), CommandResult::DONE);
  EXPECT_EQ(service.client().show("a").state(), RunView::PAUSED);
  EXPECT_TRUE(service.workers("a").empty());
  EXPECT_EQ(service.command("a", CHECKPOINT_NOW).outcome(), CommandResult::REFUSED);
  const uint64_t paused_at = service.client().show("a").committed();
  EXPECT_EQ(service.command("a", RESUME_RUN).outcome(), CommandResult::DONE);
  service.wait_for("a", RunView::RUNNING, paused_at + 1);
  EXPECT_EQ(service.command("a", RESTART_RUN).outcome(), CommandResult::DONE);
  EXPECT_EQ(service.wait_for("a", RunView::RUNNING).generation(), 3u);
  CommandRequest wider;
  wider.set_run("a");
  wider.set_verb(RESTART_RUN);
  wider.set_layout("pp=2");
  EXPECT_EQ(service.command(wider).outcome(), CommandResult::DONE);
  EXPECT_EQ(service.wait_for("a", RunView::RUNNING).layout(), "tp=1 dp=1 pp=2");
  const CommandResult stopped = service.command("a", STOP_RUN);
  EXPECT_EQ(stopped.outcome(), CommandResult::DONE);
  EXPECT_EQ(stopped.run().state(), RunView::STOPPED);
  EXPECT_GT(stopped.run().committed(), paused_at);
  EXPECT_EQ(stopped.run().restarts(), 0u) << "none of this was an error";
}

TEST(Orchestrate, a_run_goes_back_to_a_checkpoint_and_on_from_there) {
  Service service("back");
  service.submit("a", {"steps=100000", "checkpoint.every_steps=10", "checkpoint.keep_last=1000"});
  // Steps may run ahead of what is saved of them.
  service.eventually("a checkpoint after that of step 10 is saved",
                     [&] { return service.client().details("a").checkpoints_size() > 1; });
  CommandRequest back;
  back.set_run("a");
  back.set_verb(ROLL_BACK_RUN);
  back.set_step(10);
  back.set_reason("a test");
  const CommandResult done = service.command(back);
  EXPECT_EQ(done.outcome(), CommandResult::DONE) << done.text();
  EXPECT_EQ(done.text(), "goes on from step 10");
  const RunDetails details = service.client().details("a");
  int kept = 0;
  for (const SavedCheckpoint& saved : details.checkpoints()) kept += saved.discarded();
  EXPECT_GT(kept, 0) << "what came after it is kept until it has been done again";
  service.wait_for("a", RunView::RUNNING, 11);
  EXPECT_EQ(service.command("a", STOP_RUN).outcome(), CommandResult::DONE);
  back.set_step(11);
  try {
    service.command(back);
    ADD_FAILURE() << "there is no checkpoint of step 11";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("has no checkpoint of step 11"), std::string::npos);
  }
  SeriesRequest request;
  request.set_run("a");
  request.set_name("loss");
  request.set_most_points(100'000);
  std::map<uint64_t, std::vector<double>> losses;
  const SeriesReply series = service.client().series(request);
  for (const SeriesPoint& point : series.points()) losses[point.step()].push_back(point.mean());
  ASSERT_EQ(losses[12].size(), 2u) << "steps that were done again stay visible";
  EXPECT_EQ(losses[12][0], losses[12][1]) << "and nothing was skipped: it was the same step";
}

TEST(Orchestrate, what_cannot_be_is_refused_in_one_sentence) {
  Service service("refusals");
  const auto submission = [&](const std::string& run_file) {
    SubmitRequest request;
    request.set_id(new_id());
    request.set_run_file(run_file);
    try {
      service.client().submit(request);
    } catch (const UsageError& error) {
      return std::string(error.what());
    } catch (const Error& error) {
      return "error: " + std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::string data =
      "data { corpus: \"" + small_run().corpus() + "\" } model { preset: \"tiny\" } ";
  const std::map<std::string, std::string> refusals = {
      {"name: \"x\" steps: 1 directory: \"/tmp/x\"", "leave directory out"},
      {"name: \"../x\" steps: 1", "name '../x'"},
      {"steps: 1", "does not name the run"},
      {"name: \"x\" stepps: 1", "stepps"},
      {"name: \"x\" steps: 1 mesh { dp: 3 }", "--slots=3"},
      {"name: \"x\" steps: 1 mesh { schedule: \"file:/etc/passwd\" }", "cannot name files"},
      {"name: \"x\" steps: 1 launch { launcher: \"command\" }", "it has local, slurm"},
      {"name: \"x\" steps: 1 launch { partition: \"a\\n#SBATCH --uid=0\" }", "one word"},
      {"name: \"x\" steps: 1 # " + std::string(100'000, 'x'), "are allowed"},
  };
  for (const auto& [text, sentence] : refusals)
    EXPECT_NE(submission(data + text).find(sentence), std::string::npos)
        << text.substr(0, 100) << ": " << submission(data + text);
  EXPECT_NE(submission("name: \"x\" steps: 1 data { corpus: \"/nowhere\" }").find("/nowhere"),
            std::string::npos);
  EXPECT_EQ(service.client().list().runs_size(), 0);

  const Result nobody = run({katman(), "runs", "list", "--to", "127.0.0.1:1"});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_NE(nobody.output.find("no orchestrator answers at 127.0.0.1:1"), std::string::npos);
  const Result open =
      run({katman(), "orchestrate", "--listen", "0.0.0.0:0", "--data", small_run().path("open")});
  EXPECT_EQ(open.status, 2);
  EXPECT_NE(open.output.find("refusing to listen on 0.0.0.0:0"), std::string::npos);
  const Result second = run(
      {katman(), "orchestrate", "--listen", "127.0.0.1:0", "--data", small_run().path("refusals")});
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.output.find("another orchestrator uses"), std::string::npos) << second.output;
}

}  // namespace
}  // namespace katman::testing
