// Streams, events and memory of the emulated device.
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "tests/emulated_cuda/cuda_runtime.h"

// Work that waits. `tickets` counts what was enqueued, `done` what has run.
struct emulated_stream {
  std::deque<std::function<void()>> work;
  unsigned long tickets = 0, done = 0;

  void run_until(unsigned long ticket) {
    while (done < ticket && !work.empty()) {
      const auto next = std::move(work.front());
      work.pop_front();
      next();
      ++done;
    }
  }
};
struct emulated_event {
  emulated_stream* stream = nullptr;
  unsigned long ticket = 0;
  std::shared_ptr<double> at_ns;  // when the stream came to it
};

namespace {

// One device, so one lock: everything that streams do happens under it.
std::recursive_mutex device;
std::set<emulated_stream*> streams;
std::map<const void*, int> granted;
unsigned long launches = 0;
std::function<void(const emulated::Activity&)> observer;
double now_ns = 0;
unsigned long activities = 0;

constexpr size_t most_shared = 99 << 10;          // what the smallest devices from 8.0 on have
constexpr size_t memory_bytes = size_t{8} << 30;  // what it says; what it has is the host's

void finish_all() {
  for (emulated_stream* stream : streams) stream->run_until(stream->tickets);
}

}  // namespace

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorInvalidConfiguration ? "invalid configuration argument"
         : error == cudaErrorInvalidValue       ? "invalid argument"
                                                : "an error of the emulation";
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration"
                                                : "cudaErrorUnknown";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "an emulation, thread by thread");
  properties->major = 9;
  properties->multiProcessorCount = 2;
  properties->totalGlobalMem = memory_bytes;
  properties->sharedMemPerBlockOptin = most_shared;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int number) { return number == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(device);
  finish_all();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** block, size_t bytes) {
  *block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*block) return cudaErrorMemoryAllocation;
  std::memset(*block, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaFree(void* block) {
  const std::lock_guard lock(device);
  finish_all();
  std::free(block);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** block, size_t bytes) {
  *block = std::malloc(bytes);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* block) { return cudaFree(block); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = memory_bytes;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  emulated::enqueue(stream, [=] {
    emulated::tell(emulated::Activity::Kind::copy, "");
    std::memmove(to, from, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  emulated::enqueue(stream, [=] {
    emulated::tell(emulated::Activity::Kind::fill, "");
    std::memset(to, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(device);
  *stream = new emulated_stream;
  streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(device);
  stream->run_until(stream->tickets);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(device);
  stream->run_until(stream->tickets);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new emulated_event;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto at_ns = std::make_shared<double>();
  const std::lock_guard lock(device);
  emulated::enqueue(stream, [at_ns] { *at_ns = now_ns; });
  *event = {stream, stream->tickets, at_ns};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(device);
  // A stream that is gone finished its work when it went.
  if (event->stream && streams.count(event->stream)) event->stream->run_until(event->ticket);
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  emulated::enqueue(stream, [other = event->stream, ticket = event->ticket] {
    if (other && streams.count(other)) other->run_until(ticket);
  });
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  cudaEventSynchronize(begin);
  cudaEventSynchronize(end);
  *milliseconds = static_cast<float>((*end->at_ns - *begin->at_ns) * 1e-6);
  return cudaSuccess;
}

namespace emulated {

void enqueue(cudaStream_t stream, std::function<void()> work) {
  const std::lock_guard lock(device);
  if (!streams.count(stream)) {
    std::fprintf(stderr, "emulated CUDA: work for a stream that does not exist\n");
    std::abort();
  }
  ++stream->tickets;
  stream->work.push_back(std::move(work));
}

void observe(std::function<void(const Activity&)> wanted) {
  const std::lock_guard lock(device);
  observer = std::move(wanted);
}

// Streams run under the lock.
void tell(Activity::Kind kind, const char* name) {
  const double length_ns = 1e9 / static_cast<double>(1000 + activities++);
  if (observer)
    observer({kind, name, static_cast<unsigned long>(now_ns),
              static_cast<unsigned long>(now_ns + 0.9 * length_ns)});
  now_ns += length_ns;
}

cudaError_t check_launch(const cudaLaunchConfig_t& config, const void* kernel) {
  const std::lock_guard lock(device);
  const dim3 grid = config.gridDim, block = config.blockDim;
  const size_t threads = size_t{block.x} * block.y * block.z;
  const size_t allowed = granted.count(kernel) ? granted[kernel] : 48 << 10;
  const bool fits = threads > 0 && threads <= 1024 && grid.x > 0 && grid.x <= 0x7fffffff &&
                    grid.y > 0 && grid.y <= 65535 && grid.z > 0 && grid.z <= 65535 &&
                    config.dynamicSmemBytes <= allowed;
  return fits ? cudaSuccess : cudaErrorInvalidConfiguration;
}

cudaError_t grant_shared(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<size_t>(bytes) > most_shared) return cudaErrorInvalidValue;
  const std::lock_guard lock(device);
  granted[kernel] = bytes;
  return cudaSuccess;
}

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  gridDim = {grid.x, grid.y, grid.z};
  blockDim = {block.x, block.y, block.z};
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        run_block(block.x * block.y * block.z, ++launches, shared_bytes, thread);
      }
}

}  // namespace emulated
