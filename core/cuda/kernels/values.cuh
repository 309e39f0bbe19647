// Values in memory and in registers: f32 and bf16 are widened when read, rounded once when
// written, and moved 16 bytes at a time where the addresses allow it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman {

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(bf16 x) { return static_cast<float>(x); }

template <class T>
__device__ T narrow(float x);
template <>
__device__ inline float narrow<float>(float x) {
  return x;
}
template <>
__device__ inline bf16 narrow<bf16>(float x) {
#ifdef __CUDA_ARCH__
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  return bf16(x);
#endif
}

// N neighbours, loaded and stored as few wide words: the address must be a multiple of 16 bytes or
// of the pack, whichever is less.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T value[N];
};
template <class T, int N>
__device__ inline Pack<T, N> load(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
__device__ inline void store(const Pack<T, N>& pack, T* to) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// How many elements of T fill 16 bytes.
template <class T>
constexpr int pack_of = 16 / static_cast<int>(sizeof(T));

// Whether rows of `width` elements that start at each of these addresses can be read in packs.
template <class... T>
bool can_pack(int64_t width, const T*... rows) {
  const auto fits = [&](const auto* row) {
    return row == nullptr || (reinterpret_cast<uintptr_t>(row) % 16 == 0 &&
                              width * static_cast<int64_t>(sizeof(*row)) % 16 == 0);
  };
  return (fits(rows) && ...);
}

}  // namespace katman
