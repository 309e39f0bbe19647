// Reads checkpoints back, one at a time, beside everything else.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace katman {

// Knows of every checkpoint that was asked for since the program began what came of it. Any thread.
class Verifier {
 public:
  Verifier();
  ~Verifier();  // after the one that is being read
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  // Reads every byte of the checkpoint in `directory` against its checksum, in its turn. Asking
  // again asks anew.
  void ask(const std::filesystem::path& directory);
  // Empty: never asked for; "waiting", "reading", "whole", or what is wrong with it.
  std::string verdict(const std::filesystem::path& directory) const;

 private:
  void work();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::filesystem::path> waiting_;
  std::map<std::filesystem::path, std::string> verdicts_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace katman
