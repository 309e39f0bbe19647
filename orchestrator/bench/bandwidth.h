// The yardstick of everything that reads much and computes little.
#pragma once

namespace katman {

// Bytes per second that `threads` threads (0: one per core) read together from `bytes` of memory
// that no cache holds: the best of a few passes within about `seconds`.
double measured_read_bandwidth(int threads, double seconds = 1, long bytes = 1L << 30);

}  // namespace katman
