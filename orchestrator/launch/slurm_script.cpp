// What SLURM is told about a job, and what it tells.
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "orchestrator/launch/slurm.h"
#include "parallel/checkpoint/files.h"

namespace katman {
namespace {

// One word for a shell, whatever is in it.
std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'')
      text += "'\\''";
    else
      text += c;
  }
  text += '\'';
  return text;
}

std::string directives(const Job& job) {
  const LaunchSpec& launch = job.spec.launch();
  const auto ranks = static_cast<uint32_t>(job.ranks());
  const uint32_t per_node = std::clamp(launch.ranks_per_node(), 1u, ranks);
  std::string text;
  const auto say = [&](const std::string& option, const auto& value) {
    text += fmt::format("#SBATCH --{}={}\n", option, value);
  };
  say("job-name", slurm_job_name(job));
  say("output", job.file(".log").string());
  text += "#SBATCH --open-mode=append\n#SBATCH --requeue\n";
  say("signal", fmt::format("B:USR1@{}", launch.notice_s()));
  say("nodes", (ranks + per_node - 1) / per_node);
  say("ntasks", ranks);
  say("ntasks-per-node", per_node);
  say("cpus-per-task", launch.threads_per_rank());
  if (launch.time_limit_minutes()) say("time", launch.time_limit_minutes());
  for (const auto& [option, value] :
       {std::pair("partition", launch.partition()), std::pair("account", launch.account()),
        std::pair("qos", launch.qos()), std::pair("constraint", launch.constraint()),
        std::pair("gres", launch.gres())})
    if (!value.empty()) say(option, value);
  return text;
}

std::string start_of_ranks(const Job& job, std::string starter) {
  std::string text;
  if (job.ranks() > 1 || starter.find("mpirun") == std::string::npos) {
    const std::string name = "{ranks}";
    const size_t at = starter.find(name);
    if (at != std::string::npos) starter.replace(at, name.size(), std::to_string(job.ranks()));
    text = starter;
    if (geteuid() == 0 && starter.starts_with("mpirun")) text += " --allow-run-as-root";
  }
  for (const std::string& word :
       job.worker_command(static_cast<int>(job.spec.launch().threads_per_rank())))
    text += fmt::format("{}{}", text.empty() ? "" : " ", quoted(word));
  return text;
}

// $stem and the ranks' command are filled in above it. USR1 is SLURM's notice of the time limit;
// TERM comes ahead of a preemption, after which SLURM itself puts the job back into the queue.
constexpr const char* rest = R"(
rm -f "$stem.exit"
noticed=
tell() { kill -USR1 "$ranks" 2>/dev/null; }
trap 'noticed=1; tell' USR1
trap tell TERM
start_ranks &
ranks=$!
while :; do
  wait "$ranks"  # returns early when a signal comes
  status=$?
  kill -0 "$ranks" 2>/dev/null || break
done
if [ "$noticed" ] && [ "$status" -eq 0 ]; then
  scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
echo "$status" > "$stem.exit.new" && mv "$stem.exit.new" "$stem.exit"
)";

}  // namespace

// The same for the same generation of the same directory, and no other: by it, a job is found again
// whose number was lost.
std::string slurm_job_name(const Job& job) {
  return fmt::format("katman-{}.g{}.{:08x}", job.spec.name(), job.generation,
                     static_cast<uint32_t>(checksum(job.spec.directory())));
}

std::string batch_script(const Job& job, const std::string& starter) {
  return fmt::format("#!/bin/sh\n{}\nstem={}\nstart_ranks() {{ exec {}; }}\n{}", directives(job),
                     quoted(job.stem().string()), start_of_ranks(job, starter), rest);
}

Sight read_state(const std::string& state, const std::string& reason, uint64_t id,
                 std::optional<int> exit_status, const std::filesystem::path& log) {
  const auto is = [&](std::initializer_list<const char*> names) {
    return std::ranges::any_of(names, [&](const char* name) { return state.starts_with(name); });
  };
  const std::string job = fmt::format("SLURM job {}", id);
  if (is({"RUNNING", "COMPLETING", "STOPPED", "SIGNALING"}))
    return {.is = Sight::Is::running, .job = job};
  if (is({"PENDING", "CONFIGURING", "REQUEUE", "SUSPENDED", "SPECIAL_EXIT", "RESIZING", "STAGE"}))
    return {.is = Sight::Is::waiting,
            .job = fmt::format("{}: {} ({})", job, state == "PENDING" ? "waits" : state, reason)};
  Sight sight{.is = Sight::Is::ended, .job = job};
  if (exit_status) {
    sight.ending = describe_exit(*exit_status, log);
  } else if (is({"CANCELLED"})) {
    sight.ending = {.signalled = true, .withdrawn = true, .how = job + " was cancelled"};
  } else if (is({"COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY",
                 "BOOT_FAIL", "DEADLINE", "REVOKED"})) {
    sight.ending = {.signalled = true, .how = fmt::format("{} ended as {}", job, state)};
  } else {
    return {.job = fmt::format("{}: {}", job, state)};  // a word of a newer SLURM
  }
  return sight;
}

}  // namespace katman
