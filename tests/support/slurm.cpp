#include "tests/support/slurm.h"

#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "core/error.h"
#include "core/host_name.h"
#include "tests/support/eventually.h"

namespace katman::testing {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;

// Debian puts the daemons where PATH of a plain user does not look.
std::string daemon(const std::string& name) { return "/usr/sbin/" + name; }

int free_port() {
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = bind(file, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(file, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(file);
  require(bound, "no free port");
  return ntohs(address.sin_port);
}

std::string user_name() {
  const passwd* user = getpwuid(geteuid());
  require(user, "user {} has no name, and SLURM wants one", geteuid());
  return user->pw_name;
}

}  // namespace

bool Slurm::installed() {
  for (const char* name : {"munged", "slurmctld", "slurmd"})
    if (!fs::exists(daemon(name))) return false;
  return true;
}

std::string Slurm::job_script() { return KATMAN_SOURCE_DIR "/deploy/slurm/train"; }

void Slurm::configure(const std::string& host) {
  const std::string top = dir_.path();
  std::string key;
  std::random_device random;
  for (int i = 0; i < 128; ++i) key += static_cast<char>(random());
  for (const char* part : {"state", "munge"}) fs::create_directory(dir_.file(part));
  fs::permissions(dir_.file("munge"), fs::perms::owner_all);
  dir_.write("munge/key", key);
  fs::permissions(dir_.file("munge/key"), fs::perms::owner_read);
  dir_.write("cgroup.conf", "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n");
  dir_.write(
      "slurm.conf",
      fmt::format("ClusterName=katman\nSlurmctldHost={0}(127.0.0.1)\n"
                  "SlurmUser={1}\nSlurmdUser={1}\n"
                  "AuthType=auth/munge\nCredType=cred/munge\n"
                  "AuthInfo=socket={2}/munge/socket,cred_expire=5\n"
                  "SlurmctldPort={3}\n"
                  "StateSaveLocation={2}/state\nSlurmdSpoolDir={2}/spool-%n\n"
                  "SlurmctldPidFile={2}/control.pid\nSlurmdPidFile={2}/%n.pid\n"
                  "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n"
                  "JobAcctGatherType=jobacct_gather/none\nSwitchType=switch/none\n"
                  "MpiDefault=none\nReturnToService=2\nKillWait=2\nMinJobAge=600\n"
                  "SchedulerType=sched/backfill\nSchedulerParameters=batch_sched_delay=0,"
                  "sched_interval=1,bf_interval=1\n"
                  "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n"
                  "PropagateResourceLimits=NONE\nSlurmdParameters=config_overrides\n"
                  "JobRequeue=1\nAccountingStorageType=accounting_storage/none\n"
                  "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n"
                  "SlurmctldParameters=preempt_send_user_signal\n"
                  "NodeName=n[1-2] NodeHostName={0} NodeAddr=127.0.0.1 Port=[{4},{5}] CPUs=4 "
                  "Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 "
                  "RealMemory=1000\n"
                  "PartitionName=all Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP "
                  "GraceTime=20\n"
                  "PartitionName=urgent Nodes=n[1-2] PriorityTier=2 State=UP "
                  "PreemptMode=OFF\n",
                  host, user_name(), top, free_port(), free_port(), free_port()));
}

Slurm::Slurm() {
  const std::string host = host_name().substr(0, host_name().find('.'));
  configure(host);
  const std::string munge = dir_.file("munge"), configuration = dir_.file("slurm.conf");
  setenv("SLURM_CONF", configuration.c_str(), 1);
  munge_ = std::make_unique<Process>(
      std::vector<std::string>{daemon("munged"), "--foreground", "--force",
                               "--key-file=" + munge + "/key", "--socket=" + munge + "/socket",
                               "--pid-file=" + munge + "/pid", "--log-file=" + munge + "/log",
                               "--seed-file=" + munge + "/seed"},
      dir_.file("munged.log"));
  eventually("munged listens", [&] { return fs::exists(munge + "/socket"); });
  control_ = std::make_unique<Process>(
      std::vector<std::string>{daemon("slurmctld"), "-D", "-f", configuration},
      dir_.file("slurmctld.log"));
  for (const std::string name : {"n1", "n2"})
    nodes_.push_back(std::make_unique<Process>(
        std::vector<std::string>{daemon("slurmd"), "-D", "-N", name, "-f", configuration},
        dir_.file(name + ".log")));
  wait_for_nodes();
}

void Slurm::wait_for_nodes() {
  try {
    eventually("both nodes are idle", [] {
      return run({"sinfo", "--noheader", "--partition=all", "--format=%D %T"}).output == "2 idle\n";
    });
  } catch (const Error& error) {
    fail("{}\n{}{}", error.what(), read_file(dir_.file("slurmctld.log")),
         read_file(dir_.file("n1.log")));
  }
}

// Jobs first: what stands over them would outlive slurmd.
Slurm::~Slurm() {
  run({"scancel", "--full", "--signal=KILL", "--user=" + user_name()});
  run({"scancel", "--user=" + user_name()});
  try {
    eventually("all jobs have ended", [] { return run({"squeue", "--noheader"}).output.empty(); });
  } catch (const Error&) {
    // The daemons go all the same.
  }
  nodes_.push_back(std::move(control_));
  nodes_.push_back(std::move(munge_));
  for (const auto& process : nodes_) {
    process->signal(SIGTERM);
    try {
      process->wait(10s);
    } catch (const Error&) {
      // Its destructor kills it.
    }
  }
  unsetenv("SLURM_CONF");
}

}  // namespace katman::testing
