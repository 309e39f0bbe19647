// Runs as jobs of SLURM, through sbatch, squeue, scontrol, scancel and, where there is one, sacct.
//
// One generation of a run is one job. Ahead of the job's time limit SLURM signals the batch script,
// the ranks save and leave, and the script puts the job back into the queue: the run goes on in its
// next allocation, whether an orchestrator looks or not. Preemption and a lost node do the same.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "orchestrator/launch/launcher.h"

namespace katman {

struct SlurmOptions {
  // Starts a job's ranks within its allocation, in front of the words of katman worker; "{ranks}"
  // is replaced. Open MPI finds out the nodes from SLURM by itself.
  std::string starter = "mpirun -n {ranks} --bind-to none";
  std::chrono::milliseconds poll_every{1000};
  // A job that SLURM answers not to know, and that left no word how it ended, is gone after this.
  // Before, SLURM may have restarted, or look at another cluster.
  std::chrono::seconds forgotten_after{600};
};

// SLURM answers in its own time, so a thread of this object asks; look() tells what it heard last.
class SlurmLauncher : public Launcher {
 public:
  explicit SlurmLauncher(SlurmOptions options = {});
  ~SlurmLauncher() override;  // leaves the jobs as they are

  std::string name() const override { return "slurm"; }
  void start(const Job& job) override;
  Sight look(const Job& job) override;
  void kill(const Job& job) override;
  // "node 1", "node 2": which they are, SLURM decides.
  std::vector<Node> nodes(const RunSpec& spec) const override;

 private:
  struct Followed;
  void talk(std::stop_token stop);
  void poll();
  void submit(const std::string& stem);
  void find(const std::string& stem);
  void cancel(const std::string& stem);
  void ask_about(const std::string& stem);

  const SlurmOptions options_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Followed> followed_;  // by the job's stem
  std::deque<std::function<void()>> tasks_;   // for the thread
  std::jthread thread_;                       // last: it uses all of the above
};

// What a job is called in SLURM.
std::string slurm_job_name(const Job& job);
// The batch script of a job. Pure: what it says is all there is.
std::string batch_script(const Job& job, const std::string& starter);

// What SLURM's word for a job's state means: "PENDING", "TIMEOUT". `exit_status`: what the batch
// script wrote down, if it did.
Sight read_state(const std::string& state, const std::string& reason, uint64_t id,
                 std::optional<int> exit_status, const std::filesystem::path& log);

}  // namespace katman
