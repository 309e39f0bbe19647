#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/rope.h"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256;

__global__ void turns_kernel(float* turns, int64_t length, int64_t half, int64_t first,
                             const float* frequencies) {
  const int64_t at = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (at >= length * half) return;
  const int64_t i = at / half, c = at % half;
  const double angle = static_cast<double>(first + i) * static_cast<double>(frequencies[c]);
  turns[2 * i * half + c] = static_cast<float>(cos(angle));
  turns[(2 * i + 1) * half + c] = static_cast<float>(sin(angle));
}

// A thread turns N neighbouring pairs.
template <int N, class T>
__global__ void rope_kernel(T* qkv, RopeShape s, const float* turns, float direction) {
  const int64_t packs = s.half / N, turned = s.queries_per_group + 1;  // not v
  const int64_t at = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (at >= s.rows * s.groups * turned * packs) return;
  const int64_t column = at % packs * N, vector = at / packs % turned;
  const int64_t group = at / (packs * turned) % s.groups, row = at / (packs * turned * s.groups);
  const int64_t head = (row * s.groups + group) * (s.queries_per_group + 2) + vector;
  T* const low = qkv + head * 2 * s.half + column;
  const float* const cosine = turns + row % s.length * 2 * s.half + column;
  auto a = load<T, N>(low), b = load<T, N>(low + s.half);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float c = cosine[i], d = direction * cosine[s.half + i];
    const float x = widen(a.value[i]), y = widen(b.value[i]);
    a.value[i] = narrow<T>(x * c - y * d);
    b.value[i] = narrow<T>(y * c + x * d);
  }
  store(a, low);
  store(b, low + s.half);
}

}  // namespace

void rope_turns(cudaStream_t stream, float* turns, int64_t length, int64_t half, int64_t first,
                const float* frequencies) {
  launch(stream, blocks_for(length * half, threads), threads, 0, turns_kernel, turns, length, half,
         first, frequencies);
}

template <class T>
void rope(cudaStream_t stream, T* qkv, const RopeShape& s, const float* turns, float direction) {
  constexpr int N = pack_of<T>;
  const int64_t pairs = s.rows * s.groups * (s.queries_per_group + 1) * s.half;
  if (can_pack(s.half, qkv))
    launch(stream, blocks_for(pairs / N, threads), threads, 0, rope_kernel<N, T>, qkv, s, turns,
           direction);
  else
    launch(stream, blocks_for(pairs, threads), threads, 0, rope_kernel<1, T>, qkv, s, turns,
           direction);
}

template void rope(cudaStream_t, float*, const RopeShape&, const float*, float);
template void rope(cudaStream_t, bf16*, const RopeShape&, const float*, float);

}  // namespace katman::kernels
