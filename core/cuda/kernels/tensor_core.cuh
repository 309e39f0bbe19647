// The instructions behind a product on tensor cores (PTX ISA, "Warp-level matrix instructions" and
// "cp.async"): one wrapper each, so that the emulation has one place to stand in.
//
// Lane l of a warp, with row r = l / 4 and pair p = l % 4, holds of a 16 x 8 matrix of sums c[0..1]
// = (r, 2p..2p+1) and c[2..3] = (r + 8, 2p..2p+1); of a 16 x 16 operand a[0] = (r, 2p..), a[1] = (r
// + 8, 2p..), a[2] = (r, 8 + 2p..), a[3] = (r + 8, 8 + 2p..); of a 16 x 8 operand b[0] = rows 2p..
// of column r, b[1] = rows 8 + 2p.. of it. Two bf16 fill a register, the lower index below.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/bf16.h"

namespace katman {

#ifdef __CUDACC__

// c += a b, in f32.
__device__ inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// Four 8 x 8 matrices from shared memory: lane 8 i + j gives the address of row j of matrix i, and
// receives of each matrix the elements 2p.. of row r.
__device__ inline void load_matrices(uint32_t (&to)[4], const bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
// The same of the transposed matrices: rows 2p.. of column r.
__device__ inline void load_matrices_transposed(uint32_t (&to)[4], const bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// Starts a copy of 16 bytes into shared memory, of zeros unless `valid`.
__device__ inline void copy_async(bf16* shared, const bf16* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}
// Closes a group of copies; waits for all groups but the last `pending`.
__device__ inline void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Two values as one register of bf16.
__device__ inline uint32_t pack_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

#else

inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulated::multiply_add(c, a, b0, b1);
}
inline void load_matrices(uint32_t (&to)[4], const bf16* row) {
  emulated::load_matrices(to, row, false);
}
inline void load_matrices_transposed(uint32_t (&to)[4], const bf16* row) {
  emulated::load_matrices(to, row, true);
}
inline void copy_async(bf16* shared, const bf16* global, bool valid) {
  emulated::copy_16_later(shared, valid ? global : nullptr);
}
inline void close_copies() { emulated::close_group(); }
template <int pending>
void wait_copies() {
  emulated::wait_groups(pending);
}
inline uint32_t pack_pair(float low, float high) {
  return static_cast<uint32_t>(bf16(high).bits) << 16 | bf16(low).bits;
}

#endif

}  // namespace katman
