#pragma once

#include <cstddef>
#include <cstdint>

#include "core/pool.h"

namespace katman::testing {

// One range of memory for all far devices of the process, mapped twice: where tensors say it is,
// nobody may touch it; the device itself uses the other mapping.
class FarMemory {
 public:
  static FarMemory& of_process();

  std::byte* allocate(int64_t bytes);  // a far address, never given out again
  void release(std::byte* far);
  // The same byte where it can be touched; an address of host memory stays what it is.
  std::byte* near(const std::byte* address) const;
  bool holds(const std::byte* address) const;

 private:
  FarMemory();
  struct State;
  State* state_;
};

}  // namespace katman::testing
