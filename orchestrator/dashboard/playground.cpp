#include "orchestrator/dashboard/playground.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "data_pipeline/clean/utf8.h"

extern char** environ;

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr int most_children = 4;
constexpr std::chrono::minutes longest_generation{10};

struct Pipe {
  Pipe() { require(pipe2(ends, O_CLOEXEC) == 0, "cannot make a pipe"); }
  int ends[2];
};

std::string read_all(int file) {
  std::string text;
  std::array<char, 4096> some;
  for (ssize_t n; (n = read(file, some.data(), some.size())) > 0;)
    text.append(some.data(), static_cast<size_t>(n));
  return text;
}

}  // namespace

GenerateRequest::GenerateRequest(const nlohmann::json& json) {
  const auto number = [&](const char* name, double least, double most, double otherwise) {
    if (!json.contains(name)) return otherwise;
    require_usage(json[name].is_number() && json[name] >= least && json[name] <= most,
                  "{} has to be a number from {} to {}", name, least, most);
    return json[name].get<double>();
  };
  require_usage(json.is_object() && json.value("prompt", nlohmann::json("")).is_string(),
                "a prompt has to be text");
  prompt = json.value("prompt", "");
  require_usage(!json.contains("chat") || json["chat"].is_boolean(), "chat is true or false");
  chat = json.value("chat", false);
  require_usage(!chat || !prompt.empty(), "there is no question: a chat begins with one");
  tokens = static_cast<int64_t>(number("tokens", 1, 4096, 100));
  temperature = number("temperature", 0, 100, 1);
  top_k = static_cast<int64_t>(number("top_k", 0, 1e6, 0));
  top_p = number("top_p", 0.001, 1, 1);
  seed = static_cast<uint64_t>(number("seed", 0, 1e15, 1));
}

Generation::Generation(const fs::path& checkpoint, const GenerateRequest& request,
                       std::atomic<int>& living)
    : living_(living), deadline_(std::chrono::steady_clock::now() + longest_generation) {
  if (++living_ > most_children) {
    --living_;
    throw UsageError("four texts are being made already; wait for one of them to end");
  }
  const Pipe out, err;
  std::vector<std::string> words = {fs::read_symlink("/proc/self/exe").string(),
                                    "generate",
                                    "--checkpoint",
                                    checkpoint.string(),
                                    "--prompt=" + request.prompt,
                                    fmt::format("--tokens={}", request.tokens),
                                    fmt::format("--temperature={}", request.temperature),
                                    fmt::format("--top-k={}", request.top_k),
                                    fmt::format("--top-p={}", request.top_p),
                                    fmt::format("--seed={}", request.seed)};
  if (request.chat) words.emplace_back("--chat");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, err.ends[1], STDERR_FILENO);
  const int failed =
      posix_spawn(&child_, words[0].c_str(), &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  close(out.ends[1]);
  close(err.ends[1]);
  output_ = out.ends[0];
  errors_ = err.ends[0];
  if (failed != 0) child_ = -1;
}

Generation::~Generation() {
  if (child_ > 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  close(output_);
  close(errors_);
  --living_;
}

bool Generation::next(std::string& words) {
  words.clear();
  pollfd waits{output_, POLLIN, 0};
  if (std::chrono::steady_clock::now() > deadline_) return false;
  if (poll(&waits, 1, 1000) <= 0) return true;
  std::array<char, 4096> some;
  const ssize_t n = read(output_, some.data(), some.size());
  if (n <= 0) return false;
  incomplete_.append(some.data(), static_cast<size_t>(n));
  const size_t whole = incomplete_.size() - incomplete_utf8_bytes(incomplete_);
  words = incomplete_.substr(0, whole);
  incomplete_.erase(0, whole);
  return true;
}

std::string Generation::error() {
  if (child_ < 0) return "katman generate could not be started";
  if (std::chrono::steady_clock::now() > deadline_) return "ended after ten minutes";
  const std::string said = read_all(errors_);
  int status = 0;
  waitpid(child_, &status, 0);
  child_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  return said.empty() ? "katman generate ended without a word" : said;
}

}  // namespace katman
