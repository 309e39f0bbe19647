// What every backend on host memory shares: where buffers come from, and how bytes move.
#pragma once

#include "core/backend.h"

namespace katman {

// A pool of host memory, aligned to cache lines; large blocks to huge pages, which the kernel is
// asked to use (a step streams through gigabytes: with 4 KiB pages it would miss the TLB instead).
Pool make_host_pool();

// Runs every operation on the calling thread (which may lead a team), so the queue is always empty.
class HostBackend : public Backend {
 public:
  Pool& pool() override { return pool_; }
  DeviceQueue& queue() override { return host_queue(); }
  void copy(const Tensor& from, const Tensor& to) override;
  void fill_zero(const Tensor& t) override;
  void upload(const void* host, const Tensor& to) override;
  void download(const Tensor& from, void* host) override;
  void sync() override {}

 private:
  Pool pool_ = make_host_pool();
};

}  // namespace katman
