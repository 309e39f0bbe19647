#include "core/cpu/host.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace katman {
namespace {

constexpr int64_t huge_page_bytes = 2 << 20;

std::byte* allocate(int64_t bytes) {
  const int64_t alignment = bytes >= huge_page_bytes ? huge_page_bytes : 64;
  const int64_t size = (bytes + alignment - 1) / alignment * alignment;
  void* block = std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(size));
  // Advice only: a kernel without transparent huge pages refuses it, and nothing else changes.
  if (block && alignment == huge_page_bytes)
    (void)madvise(block, static_cast<size_t>(size), MADV_HUGEPAGE);
  return static_cast<std::byte*>(block);
}

}  // namespace

Pool make_host_pool() {
  return Pool(allocate, [](std::byte* block) { std::free(block); });
}

void HostBackend::copy(const Tensor& from, const Tensor& to) {
  require(from.shape() == to.shape() && from.dtype() == to.dtype(),
          "copy wants one shape and type, not {} {} to {} {}", name_of(from.dtype()),
          to_string(from.shape()), name_of(to.dtype()), to_string(to.shape()));
  std::memmove(to.raw(), from.raw(), static_cast<size_t>(from.bytes()));
}

void HostBackend::fill_zero(const Tensor& t) {
  std::memset(t.raw(), 0, static_cast<size_t>(t.bytes()));
}

// The host's side of an empty tensor may be an empty vector's null, which memcpy must not see.
void HostBackend::upload(const void* host, const Tensor& to) {
  if (to.bytes()) std::memcpy(to.raw(), host, static_cast<size_t>(to.bytes()));
}

void HostBackend::download(const Tensor& from, void* host) {
  if (from.bytes()) std::memcpy(host, from.raw(), static_cast<size_t>(from.bytes()));
}

}  // namespace katman
