#include "orchestrator/dashboard/verifier.h"

#include <algorithm>
#include <vector>

#include "parallel/checkpoint/checkpoint.h"

namespace katman {
namespace {

std::string verdict_on(const std::filesystem::path& directory) try {
  const std::vector<std::string> defects = verify_checkpoint(directory);
  return defects.empty() ? "whole" : defects.front();
} catch (const std::exception& error) {
  return error.what();
}

}  // namespace

Verifier::Verifier() : thread_([this] { work(); }) {}

Verifier::~Verifier() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Verifier::ask(const std::filesystem::path& directory) {
  {
    const std::lock_guard lock(mutex_);
    if (std::ranges::find(waiting_, directory) != waiting_.end()) return;
    waiting_.push_back(directory);
    verdicts_[directory] = "waiting";
  }
  changed_.notify_one();
}

std::string Verifier::verdict(const std::filesystem::path& directory) const {
  const std::lock_guard lock(mutex_);
  const auto found = verdicts_.find(directory);
  return found == verdicts_.end() ? "" : found->second;
}

void Verifier::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return over_ || !waiting_.empty(); });
    if (over_) return;
    const std::filesystem::path directory = std::move(waiting_.front());
    waiting_.pop_front();
    verdicts_[directory] = "reading";
    lock.unlock();
    const std::string verdict = verdict_on(directory);
    lock.lock();
    verdicts_[directory] = verdict;
  }
}

}  // namespace katman
