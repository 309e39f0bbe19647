// What launchers say to start ranks, and what they make of how those ended.
#include "orchestrator/launch/launcher.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "orchestrator/launch/execute.h"
#include "orchestrator/launch/local.h"
#include "orchestrator/launch/slurm.h"
#include "orchestrator/worker.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/throws.h"

namespace katman::testing {
namespace {

using std::chrono::milliseconds;

Job job_of(uint32_t pp) {
  Job job{.generation = 3};
  job.spec.set_name("big");
  job.spec.set_directory("/data/it's big");
  job.spec.mutable_mesh()->set_tp(1);
  job.spec.mutable_mesh()->set_dp(1);
  job.spec.mutable_mesh()->set_pp(pp);
  job.spec.mutable_launch()->set_ranks_per_node(4);
  job.spec.mutable_launch()->set_notice_s(90);
  job.spec.mutable_launch()->set_partition("gpu");
  job.spec.mutable_launch()->set_threads_per_rank(2);
  job.report_to.address = "head:7410";
  return job;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Slurm, a_batch_script_asks_for_what_the_run_needs_and_for_a_notice) {
  const std::string script = batch_script(job_of(6), SlurmOptions().starter);
  for (const char* line :
       {"--nodes=2\n", "--ntasks=6\n", "--ntasks-per-node=4\n", "--cpus-per-task=2\n",
        "--partition=gpu\n", "--signal=B:USR1@90\n", "--requeue\n", "--open-mode=append\n"})
    EXPECT_TRUE(has(script, std::string("#SBATCH ") + line)) << line << script;
  EXPECT_TRUE(has(script, "mpirun -n 6 ")) << script;
  EXPECT_TRUE(has(script, "'/data/it'\\''s big/logs/generation-00003.textproto'")) << script;
  EXPECT_FALSE(has(script, "--account")) << script;
  EXPECT_FALSE(has(batch_script(job_of(1), SlurmOptions().starter), "mpirun")) << "one needs none";
  EXPECT_TRUE(has(batch_script(job_of(2), "srun --mpi=pmix"), "exec srun --mpi=pmix '"));
}

TEST(Slurm, its_words_for_a_state_mean_waiting_running_or_ended_and_others_nothing) {
  const auto read = [](const char* state, std::optional<int> status = {}) {
    return read_state(state, "Priority", 17, status, "/nowhere");
  };
  EXPECT_EQ(read("RUNNING").is, Sight::Is::running);
  EXPECT_EQ(read("COMPLETING").is, Sight::Is::running);
  EXPECT_EQ(read("PENDING").is, Sight::Is::waiting);
  EXPECT_EQ(read("PENDING").job, "SLURM job 17: waits (Priority)");
  EXPECT_EQ(read("REQUEUE_HOLD").is, Sight::Is::waiting);
  EXPECT_TRUE(read("COMPLETED", 0).ending.clean);
  EXPECT_FALSE(read("COMPLETED").ending.clean) << "it left no word";
  EXPECT_TRUE(read("COMPLETED", rolled_back_status).ending.rolled_back);
  EXPECT_TRUE(read("NODE_FAIL").ending.signalled);
  EXPECT_TRUE(read("TIMEOUT").ending.signalled);
  EXPECT_TRUE(read("CANCELLED by 0").ending.withdrawn);
  EXPECT_EQ(read("HIBERNATING").is, Sight::Is::unknown) << "not gone";
}

TEST(Slurm, nodes_are_as_many_as_the_ranks_need) {
  EXPECT_EQ(SlurmLauncher().nodes(job_of(6).spec).size(), 2u);
}

TEST(Command, its_words_are_filled_in_and_no_shell_reads_them) {
  const CommandLauncher launcher("ssh gpu1 mpirun -n {ranks} --name={name}.{generation} {worker}");
  const Job job = job_of(2);
  const auto words = launcher.command(job);
  EXPECT_EQ(words[4], "2");
  EXPECT_EQ(words[5], "--name=big.3");
  EXPECT_EQ(words[7], "worker");
  EXPECT_EQ(words[8], job.file(".textproto").string());
  EXPECT_EQ(words.back(), "--report-to=head:7410");
  EXPECT_TRUE(fails_with("starts no ranks", [] { CommandLauncher("mpirun katman"); }));
  EXPECT_TRUE(fails_with("{rank} is none of", [] { CommandLauncher("x {rank} {worker}"); }));
}

TEST(Local, several_machines_get_as_many_ranks_as_the_placement_gave_them) {
  const LocalLauncher launcher(parse_nodes("gpu1:4,gpu2:4"));
  const auto words = launcher.command(job_of(6));
  const auto host = std::ranges::find(words, "--host");
  ASSERT_NE(host, words.end());
  EXPECT_EQ(host[1], "gpu1:4,gpu2:2");
  for (const char* wrong : {"", "gpu1", "gpu1:0", ":4", "gpu1:4,,gpu2:4"})
    EXPECT_TRUE(fails_with("host:slots", [&] { parse_nodes(wrong); })) << wrong;
}

// As those of an orchestrator that was killed, where the first process of a container reaps nobody.
TEST(Local, processes_that_ended_and_were_never_waited_for_are_gone) {
  const TempDir dir;
  Job job = job_of(1);
  job.spec.set_directory(dir.path().string());
  job.write_run_file();
  LocalLauncher launcher({{"here", 1}});
  std::array<int, 2> hold{};
  ASSERT_EQ(pipe(hold.data()), 0);
  const pid_t leader = fork();
  if (leader == 0) {
    setpgid(0, 0);
    char end = 0;
    close(hold[1]);
    [[maybe_unused]] const auto count = read(hold[0], &end, 1);
    _exit(0);
  }
  setpgid(leader, leader);
  run({"/bin/sh", "-c",
       fmt::format("echo {0} $(cut -d' ' -f22 /proc/{0}/stat) > '{1}'", leader,
                   job.file(".job").string())});
  EXPECT_EQ(launcher.look(job).is, Sight::Is::running);
  close(hold[1]);
  siginfo_t how{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(leader), &how, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(launcher.look(job).is, Sight::Is::ended) << "a zombie is nobody";
  close(hold[0]);
  waitpid(leader, nullptr, 0);
}

TEST(Launcher, an_exit_status_says_how_the_ranks_ended) {
  const TempDir dir;
  dir.write("log", "info: step 3\nerror: the disk is full\nmpirun has exited\n\n");
  const auto read = [&](int status) { return describe_exit(status, dir.file("log")); };
  EXPECT_TRUE(read(0).clean);
  EXPECT_TRUE(read(137).signalled);
  EXPECT_TRUE(has(read(137).how, "signal 9"));
  EXPECT_EQ(read(1).how, "exit status 1: error: the disk is full");
  EXPECT_TRUE(read(diverged_status).hopeless);
  EXPECT_EQ(read(diverged_status).how, "error: the disk is full");
  EXPECT_FALSE(read(1).hopeless);
  dir.write("log", "warning: back to step 40: a spike\nmpirun noticed\n");
  EXPECT_TRUE(read(rolled_back_status).rolled_back);
  EXPECT_EQ(read(rolled_back_status).how, "warning: back to step 40: a spike");
}

TEST(Execute, tells_what_a_program_said_and_how_it_ended) {
  const Executed both = execute({"sh", "-c", "echo out; echo err >&2; exit 3"}, milliseconds(9000));
  EXPECT_EQ(both.status, 3);
  EXPECT_EQ(both.output, "out\n");
  EXPECT_EQ(both.errors, "err\n");
  EXPECT_EQ(execute({"there-is-no-such-program"}, milliseconds(9000)).status, 127);
  EXPECT_EQ(execute({"sleep", "60"}, milliseconds(50)).status, 128 + 9) << "it took too long";
  const Executed much = execute({"sh", "-c", "head -c 3000000 /dev/zero"}, milliseconds(9000));
  EXPECT_EQ(much.status, 0);
  EXPECT_LT(much.output.size(), 1'100'000u);
}

}  // namespace
}  // namespace katman::testing
