#include "orchestrator/launch/slurm.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/launch/execute.h"
#include "parallel/checkpoint/files.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds longest_answer{30};

std::string user_name() {
  const passwd* user = getpwuid(geteuid());
  return user ? user->pw_name : std::to_string(geteuid());
}

std::string first_line(const Executed& executed) {
  const std::string& text = executed.errors.empty() ? executed.output : executed.errors;
  return text.substr(0, std::min(text.find('\n'), size_t{300}));
}

std::optional<int> exit_status(const Job& job) {
  std::ifstream in(job.file(".exit"));
  int status = 0;
  return in >> status ? std::optional(status) : std::nullopt;
}

// What is known of jobs, from lines "17|PENDING|Priority|name".
struct Line {
  uint64_t id = 0;
  std::string state, reason, name;
};
std::vector<Line> parse(const std::string& text) {
  std::vector<Line> lines;
  std::istringstream in(text);
  for (std::string row; std::getline(in, row);) {
    std::istringstream fields(row);
    std::string id;
    Line line;
    std::getline(fields, id, '|');
    std::getline(fields, line.state, '|');
    std::getline(fields, line.reason, '|');
    std::getline(fields, line.name);
    line.id = std::strtoull(id.c_str(), nullptr, 10);
    if (line.id) lines.push_back(line);
  }
  return lines;
}

std::optional<std::string> field(const std::string& text, const std::string& name) {
  const size_t at = text.find(name + "=");
  if (at == std::string::npos) return std::nullopt;
  const size_t begin = at + name.size() + 1;
  return text.substr(begin, text.find_first_of(" \n", begin) - begin);
}

bool is_unknown(const Executed& answer) {
  return answer.errors.find("Invalid job id") != std::string::npos;
}

}  // namespace

struct SlurmLauncher::Followed {
  Job job;
  uint64_t id = 0;    // 0: none yet
  bool lost = false;  // nobody wrote down its number
  Sight sight = {};
  Clock::time_point missing_since{};  // SLURM has answered not to know it
};

SlurmLauncher::SlurmLauncher(SlurmOptions options)
    : options_(std::move(options)), thread_([this](std::stop_token stop) { talk(stop); }) {}

SlurmLauncher::~SlurmLauncher() {
  thread_.request_stop();
  changed_.notify_all();
}

std::vector<Node> SlurmLauncher::nodes(const RunSpec& spec) const {
  const int ranks = Job{.spec = spec}.ranks();
  const int per_node = std::clamp(static_cast<int>(spec.launch().ranks_per_node()), 1, ranks);
  std::vector<Node> nodes;
  for (int first = 0; first < ranks; first += per_node)
    nodes.push_back({fmt::format("node {}", nodes.size() + 1), per_node});
  return nodes;
}

void SlurmLauncher::start(const Job& job) {
  job.write_run_file();
  const Files files;
  files.write(job.file(".sbatch"), batch_script(job, options_.starter));
  const std::lock_guard lock(mutex_);
  const std::string stem = job.stem().string();
  followed_[stem] = {.job = job, .sight = {.is = Sight::Is::waiting, .job = "sbatch"}};
  tasks_.emplace_back([this, stem] { submit(stem); });
  changed_.notify_all();
}

Sight SlurmLauncher::look(const Job& job) {
  const std::lock_guard lock(mutex_);
  const std::string stem = job.stem().string();
  const auto known = followed_.find(stem);
  if (known == followed_.end()) {
    // Another orchestrator's, before this one was started.
    Followed followed{.job = job};
    std::ifstream in(job.file(".job"));
    followed.lost = !(in >> followed.id);
    followed_.emplace(stem, std::move(followed));
    changed_.notify_all();
    return {};
  }
  const Sight sight = known->second.sight;
  if (sight.is == Sight::Is::ended) followed_.erase(known);
  return sight;
}

void SlurmLauncher::kill(const Job& job) {
  const std::lock_guard lock(mutex_);
  tasks_.emplace_back([this, stem = job.stem().string()] { cancel(stem); });
  changed_.notify_all();
}

void SlurmLauncher::talk(std::stop_token stop) {
  auto next_poll = Clock::now();
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait_until(lock, stop, next_poll, [&] { return !tasks_.empty(); });
    std::deque<std::function<void()>> tasks;
    tasks.swap(tasks_);
    const bool polls = Clock::now() >= next_poll && !followed_.empty();
    lock.unlock();
    for (const auto& task : tasks) task();
    if (polls) poll();
    lock.lock();
    if (Clock::now() >= next_poll) next_poll = Clock::now() + options_.poll_every;
  }
}

void SlurmLauncher::submit(const std::string& stem) {
  std::unique_lock lock(mutex_);
  const Job job = followed_.at(stem).job;
  lock.unlock();
  const Executed answer =
      execute({"sbatch", "--parsable", job.file(".sbatch").string()}, longest_answer);
  const uint64_t id = std::strtoull(answer.output.c_str(), nullptr, 10);
  if (id) Files().write(job.file(".job"), std::to_string(id) + "\n");
  lock.lock();
  Followed& followed = followed_.at(stem);
  followed.id = id;
  if (id) {
    followed.sight.job = fmt::format("SLURM job {}", id);
    return;
  }
  Ending& ending = followed.sight.ending;
  // A controller that is not there says nothing about the run.
  ending.signalled = answer.errors.find("Unable to contact") != std::string::npos;
  ending.how = answer.status == 127 ? "sbatch is not installed here"
                                    : "sbatch refused it: " + first_line(answer);
  followed.sight.is = Sight::Is::ended;
}

// A job whose number was not written down: between sbatch and the disk, an orchestrator died.
void SlurmLauncher::find(const std::string& stem) {
  std::unique_lock lock(mutex_);
  const Job job = followed_.at(stem).job;
  lock.unlock();
  const Executed answer = execute({"squeue", "--noheader", "--states=all",
                                   "--name=" + slurm_job_name(job), "--format=%i|%T|%r|%j"},
                                  longest_answer);
  if (answer.status != 0) return;  // the next poll tries again
  const auto lines = parse(answer.output);
  lock.lock();
  Followed& followed = followed_.at(stem);
  followed.lost = false;
  if (lines.empty()) {
    followed.sight = {.is = Sight::Is::ended,
                      .ending = {.signalled = true, .how = "it was never submitted to SLURM"}};
  } else {
    followed.id = lines.back().id;
    Files().write(job.file(".job"), std::to_string(followed.id) + "\n");
  }
}

// The batch script goes first, or it would save and requeue; what is left of the job then.
void SlurmLauncher::cancel(const std::string& stem) {
  std::unique_lock lock(mutex_);
  const auto known = followed_.find(stem);
  if (known == followed_.end() || known->second.id == 0) return;
  const std::string id = std::to_string(known->second.id);
  lock.unlock();
  execute({"scancel", "--full", "--signal=KILL", id}, longest_answer);
  const Executed answer = execute({"scancel", id}, longest_answer);
  if (answer.status != 0 && !is_unknown(answer))
    spdlog::warn("cannot cancel SLURM job {} now, and will try again: {}", id, first_line(answer));
}

void SlurmLauncher::poll() {
  const Executed answer = execute(
      {"squeue", "--noheader", "--states=all", "--user=" + user_name(), "--format=%i|%T|%r|%j"},
      longest_answer);
  std::map<uint64_t, Line> lines;
  if (answer.status == 0)
    for (const Line& line : parse(answer.output)) lines[line.id] = line;
  std::vector<std::string> lost, missing;
  std::unique_lock lock(mutex_);
  for (auto& [stem, followed] : followed_) {
    if (followed.lost) lost.push_back(stem);
    if (followed.id == 0 || followed.sight.is == Sight::Is::ended) continue;
    const auto line = lines.find(followed.id);
    if (line == lines.end()) {
      missing.push_back(stem);
      continue;
    }
    followed.missing_since = {};
    followed.sight = read_state(line->second.state, line->second.reason, followed.id,
                                exit_status(followed.job), followed.job.file(".log"));
  }
  lock.unlock();
  for (const std::string& stem : lost) find(stem);
  for (const std::string& stem : missing) ask_about(stem);
}

// About a job that squeue does not list: it ended long ago, or SLURM does not answer.
void SlurmLauncher::ask_about(const std::string& stem) {
  std::unique_lock lock(mutex_);
  const Job job = followed_.at(stem).job;
  const uint64_t id = followed_.at(stem).id;
  lock.unlock();
  const std::string name = std::to_string(id);
  const Executed answer = execute({"scontrol", "--oneliner", "show", "job", name}, longest_answer);
  auto state = field(answer.output, "JobState");
  if (!state && is_unknown(answer)) {
    const Executed account = execute(
        {"sacct", "--noheader", "--parsable2", "--allocations", "--jobs=" + name, "--format=State"},
        longest_answer);
    if (account.status == 0 && !account.output.empty()) state = first_line(account);
  }
  lock.lock();
  Followed& followed = followed_.at(stem);
  if (state) {
    followed.missing_since = {};
    followed.sight = read_state(*state, field(answer.output, "Reason").value_or(""), id,
                                exit_status(job), job.file(".log"));
    return;
  }
  followed.sight = {.job = fmt::format("SLURM job {}: {}", id, first_line(answer))};
  if (!is_unknown(answer)) return;
  if (followed.missing_since == Clock::time_point{}) followed.missing_since = Clock::now();
  const auto status = exit_status(job);
  if (status || Clock::now() - followed.missing_since > options_.forgotten_after) {
    followed.sight.is = Sight::Is::ended;
    followed.sight.ending =
        status ? describe_exit(*status, job.file(".log"))
               : Ending{.signalled = true, .how = fmt::format("SLURM no longer knows job {}", id)};
  }
}

}  // namespace katman
