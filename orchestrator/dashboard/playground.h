// Texts for the page: `katman generate` as a child, its words as they come.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace katman {

// What a person asks for: {"prompt", "tokens", "temperature", "top_k", "top_p", "seed", "chat"}.
struct GenerateRequest {
  std::string prompt;
  bool chat = false;  // the prompt is the first question of a conversation
  int64_t tokens = 100, top_k = 0;
  double temperature = 1, top_p = 1;
  uint64_t seed = 1;

  // Throws UsageError naming the field that cannot be.
  explicit GenerateRequest(const nlohmann::json& json);
};

// One text in the making. The model is loaded and asked by a process of its own, which can do
// nothing to the orchestrator and is ended with this object.
class Generation {
 public:
  // Starts it. living: counts those that live and outlives them; at most four do: throws UsageError
  // for a fifth.
  Generation(const std::filesystem::path& checkpoint, const GenerateRequest& request,
             std::atomic<int>& living);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Waits for the next words, at most a second: whole characters, possibly none. False at the end.
  bool next(std::string& words);
  // After the end: empty, or why there is no more text.
  std::string error();

 private:
  std::atomic<int>& living_;
  pid_t child_ = -1;
  int output_ = -1, errors_ = -1;
  std::string incomplete_;  // the first bytes of a character
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace katman
