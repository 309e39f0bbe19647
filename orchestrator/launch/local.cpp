#include "orchestrator/launch/local.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "orchestrator/launch/mpirun.h"

extern char** environ;

namespace katman {
namespace fs = std::filesystem;
namespace {

// A shell stands over the ranks. It writes down who it is before they start and how they ended, so
// that neither is lost with the orchestrator. $0 is the job's stem, the rest the command.
constexpr const char* script =
    "echo $$ $(cut -d' ' -f22 /proc/$$/stat) > \"$0.job.new\" && mv \"$0.job.new\" \"$0.job\"; "
    "\"$@\"; echo $? > \"$0.exit.new\" && mv \"$0.exit.new\" \"$0.exit\"";

struct Leader {
  pid_t pid = 0;
  std::string started;  // in clock ticks since the machine's start: a number may be used again
};

std::optional<Leader> leader_of(const Job& job) {
  Leader leader;
  std::ifstream in(job.file(".job"));
  if (in >> leader.pid >> leader.started) return leader;
  return std::nullopt;
}

// Of a process, from /proc/PID/stat: "123 (name) S ...".
struct Standing {
  std::string state, started;
  pid_t group = 0;
};

std::optional<Standing> standing_of(const std::string& process) {
  std::ifstream in("/proc/" + process + "/stat");
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::vector<std::string> values;
  for (std::string value; fields >> value;) values.push_back(value);
  if (values.size() < 20) return std::nullopt;
  return Standing{values[0], values[19], std::atoi(values[2].c_str())};
}

// A zombie is gone: where the first process of a container reaps nobody, it stays for ever.
bool lives(const Standing& standing) { return standing.state != "Z" && standing.state != "X"; }

// The shell may be gone, killed, and what it started still there.
bool is_alive(const Leader& leader) {
  const auto standing = standing_of(std::to_string(leader.pid));
  if (standing && lives(*standing) && standing->started == leader.started) return true;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto member = standing_of(name);
    if (member && lives(*member) && member->group == leader.pid) return true;
  }
  return false;
}

std::map<std::string, std::string> replacements(const Job& job) {
  return {{"{ranks}", std::to_string(job.ranks())},
          {"{name}", job.spec.name()},
          {"{generation}", std::to_string(job.generation)},
          {"{directory}", job.spec.directory()},
          {"{run_file}", job.file(".textproto").string()}};
}

// Nobody here knows the machines that a command uses: what the run file says, or all cores of one.
int worker_threads(const Job& job) { return static_cast<int>(job.spec.device().threads()); }

}  // namespace

LocalLauncher::LocalLauncher(std::vector<Node> nodes) : nodes_(std::move(nodes)) {}

std::vector<Node> parse_nodes(const std::string& text) {
  std::vector<Node> nodes;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) {
    const size_t colon = word.rfind(':');
    Node node{.name = word.substr(0, colon), .slots = 0};
    if (colon != std::string::npos) node.slots = std::atoi(word.c_str() + colon + 1);
    require_usage(!node.name.empty() && node.slots >= 1,
                  "'{}' names no nodes: write host:slots,host:slots", text);
    nodes.push_back(node);
  }
  require_usage(!nodes.empty(), "no nodes were named: write host:slots,host:slots");
  return nodes;
}

std::vector<std::string> LocalLauncher::command(const Job& job) const {
  const int ranks = job.ranks();
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const auto plan = place(job.mesh(), nodes_);
  std::string hosts;  // "gpu1:4,gpu2:2"
  int most = 1;
  for (const NodePlan& node : plan) {
    hosts += fmt::format("{}{}:{}", hosts.empty() ? "" : ",", node.node(), node.ranks_size());
    most = std::max(most, node.ranks_size());
  }
  // Cores are shared out evenly; with more ranks than cores, ranks take turns.
  const auto worker = job.worker_command(threads_here(most));
  if (ranks == 1) return worker;
  std::vector<std::string> words = mpirun_words();
  words.insert(words.end(), {"--oversubscribe", "-n", std::to_string(ranks), "--bind-to",
                             ranks == cores ? "core" : "none"});
  if (geteuid() == 0) words.emplace_back("--allow-run-as-root");
  if (nodes_.size() > 1) words.insert(words.end(), {"--host", hosts});
  words.insert(words.end(), worker.begin(), worker.end());
  return words;
}

void LocalLauncher::start(const Job& job) {
  job.write_run_file();
  std::vector<std::string> words = {"/bin/sh", "-c", script, job.stem().string()};
  for (const std::string& word : command(job)) words.push_back(word);
  const std::vector<char*> argv = argv_of(words);

  const std::string log = job.file(".log").string();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);  // sockets are not for workers
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  pid_t child = 0;
  const int error = posix_spawn(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  require(error == 0, "cannot start the ranks of {}: {}", job.spec.name(), std::strerror(error));
  children_.insert(child);
}

void LocalLauncher::reap() {
  std::erase_if(children_, [](int child) { return waitpid(child, nullptr, WNOHANG) != 0; });
}

Sight LocalLauncher::look(const Job& job) {
  reap();
  const auto leader = leader_of(job);
  // Between start() and its first words the shell is ours.
  if (!leader && !children_.empty()) return {.is = Sight::Is::running};
  if (leader && is_alive(*leader))
    return {.is = Sight::Is::running, .job = fmt::format("process group {}", leader->pid)};
  Sight sight{.is = Sight::Is::ended};
  int status = 0;
  std::ifstream exit(job.file(".exit"));
  if (exit >> status) {
    sight.ending = describe_exit(status, job.file(".log"));
  } else {
    sight.ending.signalled = true;
    sight.ending.how = leader ? "the processes were killed" : "the processes were never started";
  }
  return sight;
}

void LocalLauncher::kill(const Job& job) {
  const auto leader = leader_of(job);
  if (leader && is_alive(*leader)) ::kill(-leader->pid, SIGKILL);
}

CommandLauncher::CommandLauncher(const std::string& command) : LocalLauncher({}) {
  std::istringstream in(command);
  for (std::string word; in >> word;) words_.push_back(word);
  require_usage(std::ranges::find(words_, "{worker}") != words_.end(),
                "--command '{}' starts no ranks: put {{worker}} where the words of one go",
                command);
  for (size_t brace = command.find('{'); brace != std::string::npos;
       brace = command.find('{', brace + 1)) {
    const std::string name = command.substr(brace, command.find('}', brace) + 1 - brace);
    require_usage(name == "{worker}" || replacements({}).contains(name),
                  "--command: {} is none of {{worker}}, {{ranks}}, {{name}}, {{generation}}, "
                  "{{directory}}, {{run_file}}",
                  name);
  }
}

std::vector<std::string> CommandLauncher::command(const Job& job) const {
  std::vector<std::string> command;
  const auto values = replacements(job);
  for (std::string word : words_) {
    if (word == "{worker}") {
      for (const std::string& part : job.worker_command(worker_threads(job)))
        command.push_back(part);
      continue;
    }
    for (const auto& [name, value] : values)
      for (size_t at = word.find(name); at != std::string::npos;
           at = word.find(name, at + value.size()))
        word.replace(at, name.size(), value);
    command.push_back(word);
  }
  return command;
}

std::vector<Node> CommandLauncher::nodes(const RunSpec& spec) const {
  const Job job{.spec = spec};
  return {{"wherever the command starts them", job.ranks()}};
}

}  // namespace katman
