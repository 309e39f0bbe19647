#include "tests/support/far_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <mutex>

#include "core/error.h"

namespace katman::testing {
namespace {

constexpr int64_t range_bytes = int64_t{16} << 30;  // of addresses; pages come as they are touched
constexpr int64_t page_bytes = 4096;

}  // namespace

struct FarMemory::State {
  int file = -1;
  std::byte *far = nullptr, *near = nullptr;
  std::mutex mutex;
  int64_t next = 0;                      // offset of what was never given out
  std::map<int64_t, int64_t> given_out;  // offset -> bytes
};

FarMemory& FarMemory::of_process() {
  static FarMemory memory;
  return memory;
}

FarMemory::FarMemory() : state_(new State) {
  State& s = *state_;
  s.file = memfd_create("far", 0);
  require(s.file >= 0 && ftruncate(s.file, range_bytes) == 0, "no memory file for a far device");
  const auto map = [&](int protection) {
    void* at = mmap(nullptr, range_bytes, protection, MAP_SHARED | MAP_NORESERVE, s.file, 0);
    require(at != MAP_FAILED, "{} bytes of addresses for a far device were refused", range_bytes);
    return static_cast<std::byte*>(at);
  };
  s.far = map(PROT_NONE);
  s.near = map(PROT_READ | PROT_WRITE);
}

std::byte* FarMemory::allocate(int64_t bytes) {
  State& s = *state_;
  const int64_t size = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  const std::lock_guard lock(s.mutex);
  if (s.next + size > range_bytes) return nullptr;
  const int64_t offset = s.next;
  s.next += size;
  s.given_out[offset] = size;
  return s.far + offset;
}

void FarMemory::release(std::byte* far) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  auto node = s.given_out.extract(far - s.far);
  fallocate(s.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, node.key(), node.mapped());
}

bool FarMemory::holds(const std::byte* address) const {
  return address >= state_->far && address < state_->far + range_bytes;
}

std::byte* FarMemory::near(const std::byte* address) const {
  auto* mutable_address = const_cast<std::byte*>(address);
  return holds(address) ? state_->near + (address - state_->far) : mutable_address;
}

}  // namespace katman::testing
