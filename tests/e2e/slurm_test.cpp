// Runs as jobs of a real SLURM.
#include "tests/support/slurm.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/service.h"

namespace katman::testing {
namespace {

TEST(Slurm, a_run_survives_its_time_limit_its_orchestrator_and_another_layout) {
  if (!Slurm::installed()) GTEST_SKIP() << "slurm-wlm and munge are not installed";
  const Slurm slurm;
  Service service("slurm", {"--launcher=slurm"});
  // SLURM looks at time limits twice a minute: with a notice as long as the limit, it gives it the
  // first time it looks.
  service.submit("a", {"steps=1000000", "mesh.pp=2", "checkpoint.every_steps=100",
                       "launch.time_limit_minutes=1", "launch.notice_s=60"});
  const RunView first = service.wait_for("a", RunView::RUNNING, 1);
  EXPECT_NE(first.job().find("SLURM job"), std::string::npos) << first.job();
  EXPECT_EQ(service.workers("a").size(), 2u);

  service.process().signal(SIGKILL);
  service.process().wait();
  service.eventually("the ranks saved, left, and their job queues again",
                     [&] { return service.workers("a").empty(); });
  service.start();
  const RunView queued = service.client().show("a");
  EXPECT_EQ(queued.generation(), 1u);
  const RunView again = service.wait_for("a", RunView::RUNNING, queued.committed() + 1);
  EXPECT_EQ(again.generation(), 1u) << "the same job goes on";
  EXPECT_EQ(again.restarts(), 0u) << "a time limit is no error";
  EXPECT_GE(again.committed(), first.step());

  CommandRequest narrower;
  narrower.set_run("a");
  narrower.set_verb(RESTART_RUN);
  narrower.set_layout("tp=1 dp=1 pp=1");
  EXPECT_EQ(service.command(narrower).outcome(), CommandResult::DONE);
  service.wait_for("a", RunView::RUNNING, service.client().show("a").committed() + 1);
  EXPECT_EQ(service.workers("a").size(), 1u);

  const CommandResult killed = service.command("a", KILL_RUN);
  EXPECT_EQ(killed.outcome(), CommandResult::DONE) << killed.text();
  EXPECT_TRUE(service.workers("a").empty());
  EXPECT_EQ(run({"squeue", "--noheader"}).output, "") << "nothing is left in the queue";
}

TEST(Slurm, what_is_more_urgent_takes_the_nodes_and_the_run_goes_on_afterwards_from_where_it_was) {
  if (!Slurm::installed()) GTEST_SKIP() << "slurm-wlm and munge are not installed";
  const Slurm slurm;
  Service service("slurm-preempted", {"--launcher=slurm"});
  service.submit(
      "a", {"steps=1000000", "mesh.pp=2", "checkpoint.every_steps=100000", "launch.partition=all"});
  service.wait_for("a", RunView::RUNNING, 20);
  const std::string urgent = small_run().path("urgent.log");
  const Result submitted = run({"sbatch", "--parsable", "--partition=urgent", "--nodes=2",
                                "--exclusive", "--output=" + urgent, "--wrap=sleep 600"});
  ASSERT_EQ(submitted.status, 0) << submitted.output;
  const std::string job = std::to_string(std::stoi(submitted.output));
  const auto state = [&] {
    return run({"squeue", "--noheader", "--format=%T", "--jobs=" + job}).output;
  };
  service.eventually("the urgent job runs", [&] { return state() == "RUNNING\n"; });
  service.eventually("the run waits", [&] { return service.client().show("a").waiting(); });
  const RunView waiting = service.client().show("a");
  EXPECT_GE(waiting.committed(), 20u) << "it saved though no checkpoint was due";
  EXPECT_TRUE(service.workers("a").empty());
  EXPECT_EQ(run({"scancel", job}).status, 0);
  const RunView again = service.wait_for("a", RunView::RUNNING, waiting.committed() + 1);
  EXPECT_EQ(again.generation(), 1u) << "the same job goes on";
  EXPECT_EQ(again.restarts(), 0u) << "to be preempted is no error";
}

TEST(Slurm, a_run_on_two_nodes_trains) {
  if (!Slurm::installed()) GTEST_SKIP() << "slurm-wlm and munge are not installed";
  const Slurm slurm;
  Service service("slurm-two", {"--launcher=slurm"});
  service.submit("a", {"steps=1000000", "mesh.dp=2", "launch.ranks_per_node=1"});
  service.wait_for("a", RunView::RUNNING, 5);
  EXPECT_EQ(run({"squeue", "--noheader", "--format=%D %N"}).output, "2 n[1-2]\n");
  EXPECT_EQ(service.workers("a").size(), 2u);
  EXPECT_EQ(service.command("a", STOP_RUN).outcome(), CommandResult::DONE);
}

TEST(Slurm, what_it_refuses_is_said_and_a_rank_that_died_is_started_again) {
  if (!Slurm::installed()) GTEST_SKIP() << "slurm-wlm and munge are not installed";
  const Slurm slurm;
  Service service("slurm-refuses", {"--launcher=slurm"});
  service.submit("wrong", {"launch.partition=nowhere"});
  const RunView refused = service.wait_for("wrong", RunView::FAILED);
  EXPECT_NE(refused.why().find("sbatch refused it"), std::string::npos) << refused.why();
  service.submit("a", {"steps=1000000"});
  service.wait_for("a", RunView::RUNNING, 1);
  ::kill(service.workers("a").at(0), SIGKILL);
  service.wait_for_restart("a", 1);
  EXPECT_EQ(service.client().show("a").restarts(), 1u) << "a job that died is an error";
}

TEST(Slurm, the_job_script_goes_on_in_its_next_allocation_without_an_orchestrator) {
  if (!Slurm::installed()) GTEST_SKIP() << "slurm-wlm and munge are not installed";
  const Slurm slurm;
  const std::string log = small_run().path("job.log");
  std::vector<std::string> words = {"sbatch",
                                    "--parsable",
                                    "--ntasks=2",
                                    "--output=" + log,
                                    "--export=ALL,KATMAN=" + katman(),
                                    Slurm::job_script(),
                                    small_run().path("run.textproto")};
  for (const std::string& set :
       {"directory=" + small_run().path("job"), "data.corpus=" + small_run().corpus(),
        std::string("mesh.pp=2"), std::string("steps=1000000")})
    words.insert(words.end(), {"--set", set});
  const Result submitted = run(words);
  ASSERT_EQ(submitted.status, 0) << submitted.output;
  const std::string job = std::to_string(std::stoi(submitted.output));
  const auto eventually = [&](const std::string& what, const auto& condition) {
    ASSERT_TRUE(happens(condition)) << what << "\n" << read_file(log);
  };
  eventually("it trains", [&] { return small_run().losses("job").size() >= 20; });
  // What SLURM itself sends ahead of a time limit.
  EXPECT_EQ(run({"scancel", "--batch", "--signal=USR1", job}).status, 0);
  eventually("it queues again", [&] {
    return run({"squeue", "--noheader", "--format=%T", "--jobs=" + job}).output == "PENDING\n";
  });
  const size_t done = small_run().losses("job").size();
  EXPECT_LT(done, 1'000'000u);
  eventually("it goes on", [&] { return small_run().losses("job").size() > done + 5; });
  const std::string after = fmt::format("going on after step {} of", done);
  EXPECT_NE(read_file(log).find(after), std::string::npos) << after << "\n" << read_file(log);
}

}  // namespace
}  // namespace katman::testing
