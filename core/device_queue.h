// A device's in-order queue as communicators see it: what moves and adds bytes that the host may
// not touch, and what orders one queue after another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/pool.h"
#include "core/tensor.h"

namespace katman {

// The queue that a Backend enqueues its operations on, or one beside it. Addresses are those of
// tensors on this device or on another of its kind in this process, or of staging memory. Calls
// enqueue and return; only sync() blocks.
class DeviceQueue {
 public:
  // A point in the order of one queue: everything enqueued before it.
  class Point {
   public:
    virtual ~Point() = default;
    virtual bool reached() const = 0;
  };
  using Mark = std::shared_ptr<const Point>;  // null: reached already

  virtual ~DeviceQueue() = default;

  // Whether the host may read and write the device's tensors as soon as an operation returns.
  virtual bool on_host() const = 0;

  virtual Mark mark() = 0;
  // Work enqueued here from now on comes after the mark, whichever queue of this kind made it.
  virtual void wait(const Mark& mark) = 0;
  virtual void sync() = 0;

  virtual void move(const std::byte* from, std::byte* to, int64_t bytes) = 0;
  // As sum_parts (core/sum.h): out[i] = parts[0][i] + parts[1][i] + ... in that order, in f32,
  // rounded once; out may be one of the parts.
  virtual void sum(std::span<const std::byte* const> parts, DType type, int64_t elements,
                   std::byte* out) = 0;

  // Host memory that move() reaches at full speed.
  virtual Pool& staging() = 0;
  // Another queue on the same device, ordered with this one by marks alone.
  virtual std::unique_ptr<DeviceQueue> beside() = 0;
  // What the device's own libraries call this queue (a cudaStream_t); null on the host.
  virtual void* native() { return nullptr; }
  // What no other device of any machine is called (a GPU's UUID); empty for the host.
  virtual std::string device() const { return {}; }
};

// The queue of host memory: work is done when a call returns, so that every mark is reached.
DeviceQueue& host_queue();

}  // namespace katman
