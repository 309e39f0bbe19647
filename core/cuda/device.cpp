#include "core/cuda/device.h"

#include <algorithm>
#include <cstring>

#include "core/cuda/check.h"
#include "core/error.h"

namespace katman {

int CudaDevice::count() {
  int devices = 0;
  const cudaError_t result = cudaGetDeviceCount(&devices);
  require(
      result != cudaErrorInsufficientDriver,
      "the NVIDIA driver is missing or older than this build's CUDA {}.{}; install a newer driver, "
      "or run with device.kind cpu",
      CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  if (result == cudaErrorNoDevice) return 0;
  cuda_check(result, "count the CUDA devices");
  return devices;
}

CudaDevice CudaDevice::open(int number) {
  const int devices = count();
  require(devices > 0,
          "the driver shows no CUDA device; look at nvidia-smi and "
          "CUDA_VISIBLE_DEVICES, or run with device.kind cpu");
  require(number < devices, "there is no device cuda:{}: this machine shows {}, from cuda:0 on",
          number, devices);
  cudaDeviceProp properties = {};
  cuda_check(cudaGetDeviceProperties(&properties, number), "describe a CUDA device");
  CudaDevice device;
  device.number = number;
  device.name = properties.name;
  device.major = properties.major;
  device.minor = properties.minor;
  device.multiprocessors = properties.multiProcessorCount;
  device.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  device.shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  require(device.major >= 8,
          "cuda:{} ({}) has compute capability {}.{}; bf16 matrix products need 8.0 or more",
          number, device.name, device.major, device.minor);
  device.use();
  return device;
}

void CudaDevice::use() const { cuda_check(cudaSetDevice(number), "use a CUDA device"); }

Pool make_device_pool(const CudaDevice& device) {
  return Pool(
      [device](int64_t bytes) -> std::byte* {
        device.use();
        void* block = nullptr;
        const cudaError_t result = cudaMalloc(&block, static_cast<size_t>(bytes));
        if (result == cudaErrorMemoryAllocation) {
          (void)cudaGetLastError();  // the next check must not find this one
          return nullptr;
        }
        cuda_check(result, "take device memory");
        return static_cast<std::byte*>(block);
      },
      // The process may be ending, and CUDA may have ended before.
      [](std::byte* block) { (void)cudaFree(block); });
}

Stream::Stream() {
  cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a stream");
}
Stream::~Stream() {
  (void)cudaStreamSynchronize(stream_);
  (void)cudaStreamDestroy(stream_);
}
void Stream::sync() const { cuda_check(cudaStreamSynchronize(stream_), "finish the queued work"); }

Event::Event(bool timed) {
  cuda_check(cudaEventCreateWithFlags(&event_, timed ? 0u : cudaEventDisableTiming),
             "create an event");
}
Event::~Event() { (void)cudaEventDestroy(event_); }
void Event::record(cudaStream_t stream) const {
  cuda_check(cudaEventRecord(event_, stream), "record an event");
}
void Event::hold_back(cudaStream_t stream) const {
  cuda_check(cudaStreamWaitEvent(stream, event_, 0), "let a stream wait");
}
float Event::ms_since(const Event& begin) const {
  wait();
  float ms = 0;
  cuda_check(cudaEventElapsedTime(&ms, begin.event_, event_), "read the time between events");
  return ms;
}
void Event::wait() const { cuda_check(cudaEventSynchronize(event_), "wait for the device"); }

PinnedMemory::PinnedMemory(int64_t bytes) : bytes_(bytes) {
  void* block = nullptr;
  cuda_check(cudaMallocHost(&block, static_cast<size_t>(bytes)), "take pinned host memory");
  data_ = static_cast<std::byte*>(block);
}
PinnedMemory::~PinnedMemory() { (void)cudaFreeHost(data_); }

Staging::Piece& Staging::next() {
  Piece& piece = ring_[turn_++ % ring_.size()];
  piece.idle.wait();
  return piece;
}

void Staging::upload(const void* host, std::byte* device, int64_t bytes, cudaStream_t stream) {
  const auto* from = static_cast<const std::byte*>(host);
  for (int64_t begin = 0; begin < bytes; begin += piece_bytes) {
    const auto size = static_cast<size_t>(std::min(piece_bytes, bytes - begin));
    const Piece& piece = next();
    std::memcpy(piece.memory.data(), from + begin, size);
    cuda_check(
        cudaMemcpyAsync(device + begin, piece.memory.data(), size, cudaMemcpyHostToDevice, stream),
        "copy to the device");
    piece.idle.record(stream);
  }
}

void Staging::download(const std::byte* device, void* host, int64_t bytes, cudaStream_t stream) {
  auto* to = static_cast<std::byte*>(host);
  const auto size_at = [&](int64_t begin) {
    return static_cast<size_t>(std::min(piece_bytes, bytes - begin));
  };
  const Piece* arriving = nullptr;  // holds what lies before `begin`
  for (int64_t begin = 0; begin < bytes + piece_bytes; begin += piece_bytes) {
    const Piece* piece = nullptr;
    if (begin < bytes) {
      piece = &next();
      cuda_check(cudaMemcpyAsync(piece->memory.data(), device + begin, size_at(begin),
                                 cudaMemcpyDeviceToHost, stream),
                 "copy from the device");
      piece->idle.record(stream);
    }
    if (arriving) {
      arriving->idle.wait();
      std::memcpy(to + begin - piece_bytes, arriving->memory.data(), size_at(begin - piece_bytes));
    }
    arriving = piece;
  }
}

}  // namespace katman
