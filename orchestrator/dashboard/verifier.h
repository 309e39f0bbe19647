// Reads checkpoints back, one at a time, beside everything else.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace katman {

// Any thread.
class Verifier {
 public:
  // What came of it: "whole", or what is wrong. Called from a thread of this.
  using Tell = std::function<void(const std::filesystem::path& directory, const std::string&)>;
  explicit Verifier(Tell tell);
  ~Verifier();  // after the one that is being read
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  // Reads every byte of the checkpoint in `directory` against its checksum, in its turn. Asking
  // again asks anew.
  void ask(const std::filesystem::path& directory);
  // "waiting" or "reading"; empty: it was never asked for, or it is done.
  std::string progress(const std::filesystem::path& directory) const;

 private:
  void work();

  const Tell tell_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::filesystem::path> waiting_;
  std::optional<std::filesystem::path> reading_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace katman
