// The threads of one block, each a fiber: what device code sees of itself and of its neighbours.
#pragma once

#include <cstddef>
#include <functional>

struct emulated_coordinates {
  unsigned x = 0, y = 0, z = 0;
};
inline thread_local emulated_coordinates threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

// Runs `thread` once for each of `threads` (a multiple of 32, or fewer than 32) as fibers of this
// thread of the host, in an order drawn from `seed`, until all have returned. Stops the program
// with a sentence when they wait for each other.
void run_block(unsigned threads, unsigned long seed, size_t shared_bytes,
               const std::function<void()>& thread);

unsigned lane();             // of the calling fiber in its warp
std::byte* shared_memory();  // of the block; starts as NaN
void barrier();              // all threads of the block
// Waits until all `lanes` of the warp have called with the same name, and returns what they gave:
// 32 values of `bytes`, valid until the next call.
const void* together(const char* name, unsigned lanes, const void* mine, size_t bytes);
// Copies now seem to happen when the calling thread waits for the group that they were put into.
void copy_later(void* to, const void* from, size_t bytes);
void close_group();
void wait_groups(int pending);  // all but the last `pending` groups

}  // namespace emulated
