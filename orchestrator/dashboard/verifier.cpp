#include "orchestrator/dashboard/verifier.h"

#include <algorithm>
#include <vector>

#include "core/log.h"
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

Verifier::Verifier(Tell tell) : tell_(std::move(tell)), thread_([this] { work(); }) {}

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
  }
  changed_.notify_one();
}

std::string Verifier::progress(const std::filesystem::path& directory) const {
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(waiting_, directory) != waiting_.end()) return "waiting";
  return reading_ == directory ? "reading" : "";
}

void Verifier::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return over_ || !waiting_.empty(); });
    if (over_) return;
    reading_ = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    try {
      tell_(*reading_, verdict_on(*reading_));
    } catch (const std::exception& error) {
      spdlog::error("what came of reading {} back is lost: {}", reading_->string(), error.what());
    }
    lock.lock();
    reading_.reset();
  }
}

}  // namespace katman
