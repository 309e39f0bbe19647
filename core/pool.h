// Memory that is asked for once: after the first step every request is served by what came back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/tensor.h"

namespace katman {

// A caching allocator: freed buffers wait, by rounded size, for the next request of that size.
// Thread-safe. Buffers keep the pool's state alive, so they may outlive the Pool itself.
class Pool {
 public:
  using Allocate = std::function<std::byte*(int64_t bytes)>;  // nullptr when there is no memory
  using Release = std::function<void(std::byte*)>;

  Pool(Allocate allocate, Release release);

  // A buffer of at least `bytes`. Throws Error, with what is in use, when the device has no more.
  std::shared_ptr<Buffer> take(int64_t bytes);

  struct Usage {
    int64_t in_use_bytes = 0, peak_bytes = 0;  // handed out, now and at most
    int64_t held_bytes = 0;                    // taken from the device, in use or waiting
    int64_t device_calls = 0;                  // how often the device itself was asked
  };
  Usage usage() const;
  // Starts a new peak at what is in use now.
  void reset_peak();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace katman
