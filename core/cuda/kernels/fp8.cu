#include <algorithm>

#include "core/cuda/kernels/fp8.h"
#include "core/cuda/kernels/launch.h"
#include "core/cuda/kernels/reduce.cuh"
#include "core/cuda/kernels/values.cuh"

namespace katman::kernels {
namespace {

constexpr int threads = 256;
constexpr int N = 16;            // elements whose codes fill a word of 16 bytes
constexpr int tile = 64;         // of a transposition: rows and columns
constexpr int pitch = tile + N;  // of its rows in shared memory: whole words
using Word = Pack<uint8_t, N>;
constexpr int64_t most_parts = 512;  // few enough to be put together again by every block

__device__ int64_t first_of_grid() { return int64_t{blockIdx.x} * threads + threadIdx.x; }
__device__ int64_t threads_of_grid() { return int64_t{gridDim.x} * threads; }

template <int Width, class T>
__global__ void largest_kernel(const T* x, int64_t n, float* parts) {
  __shared__ float scratch[warp_threads];
  const int64_t packs = n / Width;
  float most = 0;
  for (int64_t pack = first_of_grid(); pack < packs; pack += threads_of_grid()) {
    const auto values = load<T, Width>(x + pack * Width);
#pragma unroll
    for (int i = 0; i < Width; ++i) most = fmaxf(most, fabsf(widen(values.value[i])));
  }
  const int64_t rest = packs * Width + first_of_grid();
  if (rest < n) most = fmaxf(most, fabsf(widen(x[rest])));
  most = block_max(most, scratch);
  if (threadIdx.x == 0) parts[blockIdx.x] = most;
}

// Every thread of the block gets it.
__device__ float scale_of(const float* parts, int count, Fp8 fp8) {
  __shared__ float scratch[warp_threads];
  float most = 0;
  for (int part = threadIdx.x; part < count; part += threads) most = fmaxf(most, parts[part]);
  return fp8_scale(block_max(most, scratch), fp8);
}

// The codes of two neighbours, `low` in the lower byte. The instruction makes the largest number of
// infinity, so that must be NaN before.
template <Fp8 fp8>
__device__ uint16_t encode_two(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  low += 0 * low;
  high += 0 * high;
  uint16_t codes;
  if constexpr (fp8 == Fp8::e4m3)
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  else
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  return codes;
#else
  return static_cast<uint16_t>(fp8_code(high, fp8) << 8 | fp8_code(low, fp8));
#endif
}

template <Fp8 fp8, int Count>
__device__ Pack<uint8_t, Count> encode(const Pack<bf16, Count>& values, float scale) {
  Pack<uint8_t, Count> codes;
#pragma unroll
  for (int i = 0; i < Count; i += 2) {
    const uint16_t two =
        encode_two<fp8>(widen(values.value[i]) * scale, widen(values.value[i + 1]) * scale);
    codes.value[i] = static_cast<uint8_t>(two);
    codes.value[i + 1] = static_cast<uint8_t>(two >> 8);
  }
  return codes;
}

template <Fp8 fp8>
__global__ void encode_kernel(Fp8Source<bf16> s, uint8_t* codes, float* inverse) {
  const float scale = scale_of(s.parts, s.count, fp8);
  if (blockIdx.x == 0 && threadIdx.x == 0) *inverse = 1 / scale;
  const int64_t packs = s.rows * s.columns / N;
  for (int64_t pack = first_of_grid(); pack < packs; pack += threads_of_grid())
    store(encode<fp8>(load<bf16, N>(s.x + pack * N), scale), codes + pack * N);
}

// A block turns one tile: reads along rows, writes along columns.
template <Fp8 fp8>
__global__ void encode_transposed_kernel(Fp8Source<bf16> s, uint8_t* codes, float* inverse) {
  __shared__ Word words[tile * pitch / N];  // [column][row]
  auto* turned = reinterpret_cast<uint8_t*>(words);
  const float scale = scale_of(s.parts, s.count, fp8);
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *inverse = 1 / scale;
  const int64_t row = int64_t{blockIdx.x} * tile, column = int64_t{blockIdx.y} * tile;
  constexpr int per_load = pack_of<bf16>, loads = tile / per_load, stores = tile / N;
  for (int at = threadIdx.x; at < tile * loads; at += threads) {
    const int i = at / loads, j = at % loads * per_load;
    if (row + i >= s.rows || column + j >= s.columns) continue;
    const auto these =
        encode<fp8>(load<bf16, per_load>(s.x + (row + i) * s.columns + column + j), scale);
#pragma unroll
    for (int e = 0; e < per_load; ++e) turned[(j + e) * pitch + i] = these.value[e];
  }
  __syncthreads();
  for (int at = threadIdx.x; at < tile * stores; at += threads) {
    const int j = at / stores, i = at % stores * N;
    if (row + i < s.rows && column + j < s.columns)
      store(words[(j * pitch + i) / N], codes + (column + j) * s.rows + row + i);
  }
}

template <class T>
__global__ void round_kernel(Fp8Source<T> s, T* y) {
  const float scale = scale_of(s.parts, s.count, s.fp8), inverse = 1 / scale;
  const int64_t n = s.rows * s.columns;
  for (int64_t i = first_of_grid(); i < n; i += threads_of_grid())
    y[i] = narrow<T>(fp8_rounded(widen(s.x[i]) * scale, s.fp8) * inverse);
}

unsigned grid_for(int64_t items) {
  return static_cast<unsigned>(std::min<int64_t>((items + threads - 1) / threads, 4096));
}

template <Fp8 fp8>
void encode_as(cudaStream_t stream, const Fp8Source<bf16>& s, bool transposed, uint8_t* codes,
               float* inverse) {
  if (transposed)
    launch(stream, dim3(blocks_for(s.rows, tile), blocks_for(s.columns, tile)), threads, 0,
           encode_transposed_kernel<fp8>, s, codes, inverse);
  else
    launch(stream, grid_for(s.rows * s.columns / N), threads, 0, encode_kernel<fp8>, s, codes,
           inverse);
}

}  // namespace

int64_t fp8_parts(int64_t n) {
  return std::clamp<int64_t>((n + threads * N - 1) / (threads * N), 1, most_parts);
}

template <class T>
void fp8_largest(cudaStream_t stream, const T* x, int64_t n, float* parts) {
  const auto blocks = static_cast<unsigned>(fp8_parts(n));
  if (can_pack(pack_of<T>, x))
    launch(stream, blocks, threads, 0, largest_kernel<pack_of<T>, T>, x, n, parts);
  else
    launch(stream, blocks, threads, 0, largest_kernel<1, T>, x, n, parts);
}

void fp8_encode(cudaStream_t stream, const Fp8Source<bf16>& source, bool transposed, uint8_t* codes,
                float* inverse) {
  if (source.fp8 == Fp8::e4m3)
    encode_as<Fp8::e4m3>(stream, source, transposed, codes, inverse);
  else
    encode_as<Fp8::e5m2>(stream, source, transposed, codes, inverse);
}

template <class T>
void fp8_round(cudaStream_t stream, const Fp8Source<T>& source, T* y) {
  launch(stream, grid_for(source.rows * source.columns), threads, 0, round_kernel<T>, source, y);
}

template void fp8_largest(cudaStream_t, const float*, int64_t, float*);
template void fp8_largest(cudaStream_t, const bf16*, int64_t, float*);
template void fp8_round(cudaStream_t, const Fp8Source<float>&, float*);
template void fp8_round(cudaStream_t, const Fp8Source<bf16>&, bf16*);

}  // namespace katman::kernels
