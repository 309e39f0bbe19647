#include "orchestrator/cli/ranks.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "orchestrator/launch/mpirun.h"
#include "parallel/comm/mpi.h"
#include "parallel/comm/threads.h"

namespace katman {
namespace {

// Ranks wait for the next request of a person, who may be asleep; mpirun ends them when one dies.
constexpr std::chrono::hours longest_wait{24 * 30};

// The words this process was started with.
std::vector<std::string> own_command() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> words;
  for (size_t begin = 0; begin < bytes.size();) {
    words.emplace_back(bytes.c_str() + begin);
    begin += words.back().size() + 1;
  }
  require(!words.empty(), "/proc/self/cmdline is empty: this program cannot start itself again");
  words.front() = std::filesystem::read_symlink("/proc/self/exe").string();
  return words;
}

[[noreturn]] void become_mpirun(int ranks) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  std::vector<std::string> words = mpirun_words();
  for (const std::string& word :
       {std::string("--oversubscribe"), std::string("-n"), std::to_string(ranks)})
    words.push_back(word);
  if (geteuid() == 0) words.emplace_back("--allow-run-as-root");
  for (const char* word : {"--bind-to", ranks == cores ? "core" : "none"}) words.emplace_back(word);
  for (std::string& word : own_command()) words.push_back(std::move(word));
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  fail("cannot start mpirun ({}), which {} ranks need: install openmpi-bin", std::strerror(errno),
       ranks);
}

}  // namespace

void add_model_options(CLI::App& command, ModelOptions& options, bool replicas) {
  command.add_option("--device", options.device, "auto, cpu, reference or cuda:N")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "of a rank; 0: its share of the cores")
      ->capture_default_str();
  command.add_option("--precision", options.precision, "fp32 or bf16")->capture_default_str();
  command.add_option("--tp", options.mesh.tp, "ranks that share every matrix")
      ->capture_default_str();
  command.add_option("--pp", options.mesh.pp, "ranks that share the layers")->capture_default_str();
  if (replicas)
    command.add_option("--dp", options.mesh.dp, "copies of the model that share the work")
        ->capture_default_str();
}

void on_ranks(const Mesh& mesh, const std::function<void(Comm& world)>& work) {
  if (MpiSession::launched()) {
    MpiSession session(longest_wait);
    return work(*session.world());
  }
  if (mesh.size() > 1) become_mpirun(mesh.size());
  ThreadWorld world(1);
  work(*world.comm(0));
}

}  // namespace katman
