#include "core/pool.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace katman {

struct Pool::State {
  Allocate allocate;
  Release release;
  mutable std::mutex mutex;
  std::map<int64_t, std::vector<std::byte*>> free;  // [rounded bytes]
  Usage usage;

  ~State() { release_free(); }

  // What nobody uses goes back to the device.
  void release_free() {
    for (auto& [bytes, blocks] : free) {
      usage.held_bytes -= bytes * static_cast<int64_t>(blocks.size());
      for (std::byte* block : blocks) release(block);
      blocks.clear();
    }
  }

  void give_back(std::byte* block, int64_t bytes) {
    const std::lock_guard lock(mutex);
    free[bytes].push_back(block);
    usage.in_use_bytes -= bytes;
  }
};

namespace {

// Eight sizes per power of two: at most 12.5 % is wasted, and nearby requests share blocks.
int64_t rounded(int64_t bytes) {
  constexpr int64_t smallest = 256;
  if (bytes <= smallest) return smallest;
  const int64_t step = std::max<int64_t>(
      smallest, int64_t{1} << (std::bit_width(static_cast<uint64_t>(bytes - 1)) - 4));
  return (bytes + step - 1) / step * step;
}

}  // namespace

Pool::Pool(Allocate allocate, Release release) : state_(std::make_shared<State>()) {
  state_->allocate = std::move(allocate);
  state_->release = std::move(release);
}

std::shared_ptr<Buffer> Pool::take(int64_t bytes) {
  const int64_t size = rounded(bytes);
  std::byte* block = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    auto& waiting = state_->free[size];
    auto& usage = state_->usage;
    if (!waiting.empty()) {
      block = waiting.back();
      waiting.pop_back();
    } else {
      block = state_->allocate(size);
      if (block == nullptr) {  // free blocks of other sizes may be in its way
        state_->release_free();
        block = state_->allocate(size);
      }
      require(block != nullptr,
              "out of memory: {} more bytes wanted while {} are in use and {} are held; lower the "
              "micro-batch, use recomputation, or shard over more ranks",
              size, usage.in_use_bytes, usage.held_bytes);
      ++usage.device_calls;
      usage.held_bytes += size;
    }
    usage.in_use_bytes += size;
    usage.peak_bytes = std::max(usage.peak_bytes, usage.in_use_bytes);
  }
  return {new Buffer{block, size}, [state = state_](Buffer* buffer) {
            state->give_back(buffer->data, buffer->bytes);
            delete buffer;
          }};
}

Pool::Usage Pool::usage() const {
  const std::lock_guard lock(state_->mutex);
  return state_->usage;
}

void Pool::reset_peak() {
  const std::lock_guard lock(state_->mutex);
  state_->usage.peak_bytes = state_->usage.in_use_bytes;
}

}  // namespace katman
