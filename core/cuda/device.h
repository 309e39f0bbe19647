// One CUDA device: what it is, its memory, and the queues that work on it.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <string>

#include "core/pool.h"

namespace katman {

// What the rest needs to know of a device.
struct CudaDevice {
  int number = 0;
  std::string name;          // "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t memory_bytes = 0;  // all of it
  int64_t shared_bytes = 0;  // most shared memory of one block

  // Describes device `number` and makes it this thread's. Throws Error, in a sentence that says
  // what to do, when there is no driver, no such device, or one older than compute capability 8.0.
  static CudaDevice open(int number);
  static int count();  // throws as open() does where there is no driver
  // Makes it the calling thread's device: CUDA keeps one per thread.
  void use() const;
};

// Device memory by cudaMalloc, asked for once and then served from what came back.
Pool make_device_pool(const CudaDevice& device);

// An in-order queue of work. Not copyable; waits for its work before it goes.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void sync() const;  // blocks until the queue is empty

 private:
  cudaStream_t stream_ = nullptr;
};

// A point in a queue that another queue, or the host, can wait for.
class Event {
 public:
  explicit Event(bool timed = false);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }
  void record(cudaStream_t stream) const;     // here
  void hold_back(cudaStream_t stream) const;  // what is enqueued from now on comes after it
  void wait() const;                          // blocks the host
  float ms_since(const Event& begin) const;   // of two timed events; blocks the host

 private:
  cudaEvent_t event_ = nullptr;
};

// Page-locked host memory, which a copy engine reads and writes while the host goes on.
class PinnedMemory {
 public:
  explicit PinnedMemory(int64_t bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_;
};

// Copies between ordinary host memory and the device through a ring of pinned pieces, so that the
// host's memcpy of one piece overlaps the transfer of another, and the host may run several
// micro-batches ahead of the device.
class Staging {
 public:
  // Enqueues; `host` may be reused on return.
  void upload(const void* host, std::byte* device, int64_t bytes, cudaStream_t stream);
  // Blocks until `host` is filled.
  void download(const std::byte* device, void* host, int64_t bytes, cudaStream_t stream);

 private:
  static constexpr int64_t piece_bytes = 1 << 20;
  struct Piece {
    PinnedMemory memory{piece_bytes};
    Event idle;  // the last transfer from or to it is through
  };
  Piece& next();  // once it is idle

  std::array<Piece, 8> ring_;
  size_t turn_ = 0;
};

}  // namespace katman
